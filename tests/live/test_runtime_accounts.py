"""A server of our own, with accounts and a short queue, free to be filled, poisoned and killed; and two at once."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient
from invokeai_gen.compiler.inputs import constraints_of
from invokeai_gen.core.field_values import batch_item_validator
from invokeai_gen.core.plan import FieldLimits
from invokeai_gen.schema import shipped_schema
from invokeai_gen.server.errors import JobCanceledError, NotFoundError, ServerFaultError
from invokeai_gen.server.events import StatusChanged
from invokeai_gen.server.run_errors import EnqueueClippedError, RedactedJobError
from invokeai_gen.server.status_errors import ForbiddenError, UnauthorizedError
from tests import plans
from tests.server import Account, Server, ServerError

TIME = 120.0
ROOM = 100
"""Items that the queue takes."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with Server.start(multiuser=True, settings={"max_queue_size": ROOM}) as running:
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


def revive(server: Server) -> int:
    """Starts a server again that was killed, and tells how many starts it took: with items waiting, some fail.

    InvokeAI begins to work on them while it still tidies up its database: "cannot VACUUM from within a transaction".
    Each start cancels the item that was running when the one before it ended.
    """
    for starts in range(1, 10):
        try:
            server.restart()
        except ServerError as error:
            if "VACUUM" not in str(error):
                raise
        else:
            return starts
    raise AssertionError("the server does not start any more")


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


def test_no_log_shows_password_or_token(guarded: Server, user: Account, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for name in ("httpx", "httpcore", "aiohttp", "socketio.client", "engineio.client", "asyncio", "invokeai_gen"):
        caplog.set_level("DEBUG", logger=name)
    with InvokeAIClient(guarded.url) as client:
        client.login(user.email, user.password)
        token = client._core._transport.token
        assert token
        body = {"current_password": user.password, "new_password": user.password}
        client.ask("PATCH", "/api/v1/auth/me", json=body)
        renewed = client._core._transport.token
        assert renewed
        job = plans.picture().submit(plans.PictureParams(width=40), client=client)
        assert len(list(job.events())) > 5, "events came, which takes the token too"
        job.cleanup_queue_items()
    assert "receive_response_headers" in caplog.text
    assert [secret for secret in (user.password, str(token), str(renewed)) if secret in caplog.text] == []


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
        with pytest.raises(RedactedJobError, match="belongs to another account"):
            plans.picture().resume(secret.item_id, client=client).outputs()
        assert client.queue.delete([secret.item_id]).failed
        with pytest.raises((ForbiddenError, NotFoundError)):
            client.queue.cancel(secret.item_id)


def test_a_token_that_the_server_replaces_is_followed(guarded: Server) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as boss, InvokeAIClient(guarded.url) as client:
        owl = Account("owl@example.com", "Tiny-Owls-5678")
        body = {"email": owl.email, "password": owl.password, "display_name": "Owl", "is_admin": False}
        boss.ask("POST", "/api/v1/auth/users", json=body)
        client.login(owl.email, owl.password)
        before = client._core._transport.token
        body = {"current_password": owl.password, "new_password": "Tiny-Owls-9012"}
        client.ask("PATCH", "/api/v1/auth/me", json=body)
        with InvokeAIClient(guarded.url, token=before) as old, pytest.raises(UnauthorizedError):
            old.images.upload(b"")
        job = plans.picture().submit(plans.PictureParams(width=24), client=client)
        assert len(list(job.events())) > 5
        assert job.outputs().picture.pil().width == 24


def test_a_batch_that_the_queue_has_no_room_for_is_an_error_and_leaves_nothing(guarded: Server) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        with pytest.raises(EnqueueClippedError, match=rf"only {ROOM} of 130 items went in .*max_queue_size") as caught:
            plans.picture().run_all(plans.PictureParams(), client=client, runs=130)
        assert (caught.value.enqueued, caught.value.requested) == (ROOM, 130)
        counts = client.queue.batch_counts(caught.value.batch_id)
        assert (counts.pending, counts.total) == (0, ROOM)
        assert counts.canceled >= ROOM - 10, "all but those that were quicker"


def test_the_queue_is_pruned_and_cleared(guarded: Server) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        done = plans.picture().run(plans.PictureParams(), client=client, timeout=TIME)
        assert client.queue.prune() >= 1
        with pytest.raises(NotFoundError):
            client.queue.get(done.item_id)
        job = plans.batched().submit(plans.BatchParams(widths=list(range(8, 80))), client=client)
        assert client.queue.clear() > 0
        assert client.queue.item_ids() == []
        with pytest.raises(JobCanceledError):
            job.all_outputs()
        assert client.queue.current() is None
        assert client.queue.counts().total == 0


@pytest.mark.parametrize(
    ("node", "field", "item"),
    [
        ("blank_image", "width", "a"),
        ("blank_image", "width", 1.5),
        ("blank_image", "width", 64.0),
        ("blank_image", "mode", "CMYK"),
        ("string", "value", 7),
        ("float", "value", 7),
        ("float", "value", "a"),
        ("img_resize", "width", -3),
        ("img_resize", "resample_mode", "lanczos"),
        ("img_resize", "resample_mode", "best"),
        ("noise", "width", 65),
        ("noise", "width", 64),
    ],
)
def test_items_of_batches_are_refused_here_exactly_when_they_would_block_the_server(
    guarded: Server, node: str, field: str, item: str | float
) -> None:
    template = shipped_schema().template(node)
    assert template is not None
    about = template.inputs[field]
    limits = FieldLimits(
        field_type=about.type.name,
        constraints=constraints_of(about.exact_limits, about.type.name),
        choices=about.choices,
    )
    validator = batch_item_validator(limits)
    assert validator is not None
    try:
        validator.validate_python(item)
        is_accepted = True
    except ValidationError:
        is_accepted = False
    request = {
        "batch": {
            "batch_id": str(uuid.uuid4()),
            "graph": {"nodes": {"n": {"id": "n", "type": node}}, "edges": []},
            "data": [[{"node_path": "n", "field_name": field, "items": [item]}]],
        }
    }
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        (item_id,) = client.queue.enqueue(request).item_ids
        try:
            is_readable = client.queue.get(item_id).item_id == item_id
        except ServerFaultError:
            is_readable = False
        client.queue.clear()
    assert is_accepted == is_readable


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
        revive(guarded)
        assert plans.picture().run(plans.PictureParams(width=24), client=client, timeout=TIME).picture.width == 24


def test_a_job_is_followed_across_the_end_of_its_server(guarded: Server) -> None:
    with InvokeAIClient(guarded.url, token=guarded.token) as client:
        job = plans.batched().submit(plans.BatchParams(widths=list(range(8, 88))), client=client)
        next(event for event in job.events() if isinstance(event, StatusChanged) and event.status == "completed")
        guarded.kill()
        starts = revive(guarded)
        results = job.results()
        assert len(results) == 80
        lost = [result for result in results if not isinstance(result, plans.PictureOutputs)]
        assert all(isinstance(result, JobCanceledError) for result in lost)
        assert len(lost) <= starts, "only what was running when a server ended"
