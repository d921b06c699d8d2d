"""A server with accounts, and two servers at once."""

import asyncio
from collections.abc import Iterator

import pytest

from invokeai_gen.runtime import AsyncInvokeAIClient, InvokeAIClient
from invokeai_gen.server.errors import ForbiddenError, NotFoundError, UnauthorizedError
from invokeai_gen.server.events import StatusChanged
from tests import plans
from tests.server import Account, Server

TIME = 120.0


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with Server.start(multiuser=True) as running:
        yield running


@pytest.fixture(scope="module")
def admin(guarded: Server) -> Account:
    assert guarded.admin is not None
    return guarded.admin


@pytest.fixture(scope="module")
def user(guarded: Server) -> Account:
    account = Account("fox@example.com", "Tiny-Foxes-5678")
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        body = {"email": account.email, "password": account.password, "display_name": "Fox", "is_admin": False}
        client.ask("POST", "/api/v1/auth/users", json=body)
    return account


def test_without_an_account_nothing_runs(guarded: Server) -> None:
    with InvokeAIClient(guarded.url) as client, pytest.raises(UnauthorizedError, match="INVOKEAI_TOKEN"):
        plans.picture().run(plans.PictureParams(), client=client)


def test_a_wrong_password_is_refused(guarded: Server, admin: Account) -> None:
    with InvokeAIClient(guarded.url) as client, pytest.raises(UnauthorizedError) as caught:
        client.login(admin.email, "wrong-Password-1")
    assert "wrong-Password-1" not in str(caught.value)


def test_after_login_workflows_run_and_events_come(guarded: Server, user: Account) -> None:
    with InvokeAIClient(guarded.url) as client:
        client.login(user.email, user.password)
        job = plans.picture().submit(plans.PictureParams(width=56), client=client)
        assert len(list(job.events())) > 5
        assert job.outputs().picture.pil().width == 56
        assert user.password not in repr(vars(client)) + repr(vars(client._core))


def test_the_token_may_come_from_the_environment(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guarded.token is not None
    monkeypatch.setenv("INVOKEAI_TOKEN", guarded.token)
    with InvokeAIClient(guarded.url) as client:
        assert plans.picture().run(plans.PictureParams(), client=client, timeout=TIME).picture


def test_items_of_others_say_only_that_they_exist(guarded: Server, user: Account) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as boss, InvokeAIClient(guarded.url) as client:
        client.login(user.email, user.password)
        secret = plans.picture().run(plans.PictureParams(), client=boss, timeout=TIME)
        seen = client.queue.get(secret.item_id)
        assert seen.is_redacted
        assert seen.status == "completed"
        assert not boss.queue.get(secret.item_id).is_redacted
        assert client.queue.delete([secret.item_id]).failed
        with pytest.raises((ForbiddenError, NotFoundError)):
            client.queue.cancel(secret.item_id)


def test_a_server_without_accounts_has_no_login(server_url: str) -> None:
    with InvokeAIClient(server_url) as client, pytest.raises(ForbiddenError):
        client.login("someone@example.com", "Whatever-1234")


def test_two_servers_run_at_the_same_time(guarded: Server, server_url: str) -> None:
    async def main() -> list[tuple[int, str]]:
        async with AsyncInvokeAIClient(guarded.url, token=guarded.token) as one, AsyncInvokeAIClient(server_url) as two:
            runs = (
                plans.picture().arun(plans.PictureParams(width=8 + n), client=(one, two)[n % 2], timeout=TIME)
                for n in range(20)
            )
            outs = await asyncio.gather(*runs)
            homes = [one if n % 2 == 0 else two for n in range(20)]
            assert all([await home.images.get(out.picture.name) for home, out in zip(homes, outs, strict=True)])
            return [(out.picture.width, home.url) for home, out in zip(homes, outs, strict=True)]

    assert [width for width, _ in asyncio.run(main())] == [8 + n for n in range(20)]


def test_a_server_that_comes_back_is_found_again(guarded: Server) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        assert plans.picture().run(plans.PictureParams(width=16), client=client, timeout=TIME)
        guarded.kill()
        guarded.restart()
        assert plans.picture().run(plans.PictureParams(width=24), client=client, timeout=TIME).picture.width == 24


def test_a_job_is_followed_across_the_end_of_its_server(guarded: Server) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        job = plans.batched().submit(plans.BatchParams(widths=list(range(8, 88))), client=client)
        next(event for event in job.events() if isinstance(event, StatusChanged) and event.status == "completed")
        guarded.kill()
        guarded.restart()
        results = job.results()
        assert len(results) == 80
        done = [result for result in results if isinstance(result, plans.PictureOutputs)]
        assert len(done) >= 78, "all but the one that was running"
