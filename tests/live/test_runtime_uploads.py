"""A file is uploaded once, and deleted when no run uses it any more."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import PIL.Image
import pytest

from invokeai_gen import InvokeAIClient
from tests import plans
from tests.live.proxy import Proxy
from tests.live.test_runtime_cleanup import exists

TIME = 120.0


@pytest.fixture
def client(proxy: Proxy) -> Iterator[InvokeAIClient]:
    with InvokeAIClient(proxy.url) as made:
        yield made


@pytest.fixture
def params() -> plans.ResizeParams:
    buffer = BytesIO()
    PIL.Image.frombytes("RGB", (24, 24), os.urandom(24 * 24 * 3)).save(buffer, "PNG")
    return plans.ResizeParams(picture=buffer.getvalue())


def uploads(proxy: Proxy) -> int:
    return sum(b"/images/upload" in request for request in proxy.requests)


def test_equal_bytes_are_uploaded_once(client: InvokeAIClient, proxy: Proxy, params: plans.ResizeParams) -> None:
    first = plans.resize().run(params, client=client, timeout=TIME)
    second = plans.resize().run(params, client=client, timeout=TIME)
    assert uploads(proxy) == 1
    assert first._uploads.images == second._uploads.images  # type: ignore[union-attr]


def test_runs_at_the_same_time_share_one_upload(
    client: InvokeAIClient, proxy: Proxy, params: plans.ResizeParams
) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [*pool.map(lambda _: plans.resize().submit(params, client=client), range(4))]
    assert uploads(proxy) == 1
    assert [job.outputs(timeout=TIME).small.size for job in jobs] == [(32, 32)] * 4


def test_clean_up_keeps_what_another_run_uses(client: InvokeAIClient, params: plans.ResizeParams) -> None:
    first = plans.resize().run(params, client=client, timeout=TIME)
    second = plans.resize().run(params, client=client, timeout=TIME)
    (name,) = first._uploads.images  # type: ignore[union-attr]
    assert first.cleanup_inputs().kept == {name: "another run uses it"}
    assert exists(client, name)
    assert second.cleanup_inputs().deleted == (name,)
    assert not exists(client, name)


def test_a_run_that_was_dropped_uses_nothing(client: InvokeAIClient, params: plans.ResizeParams) -> None:
    kept = plans.resize().run(params, client=client, timeout=TIME)
    plans.resize().run(params, client=client, timeout=TIME)
    assert kept.cleanup_inputs().deleted


def test_a_file_is_uploaded_again_once_its_image_is_gone(
    client: InvokeAIClient, proxy: Proxy, params: plans.ResizeParams
) -> None:
    first = plans.resize().run(params, client=client, timeout=TIME)
    client.images.delete(first._uploads.images)  # type: ignore[union-attr]
    second = plans.resize().run(params, client=client, timeout=TIME, cleanup=("inputs",))
    assert uploads(proxy) == 2
    assert second.cleanup is not None and second.cleanup.deleted
    assert plans.resize().run(params, client=client, timeout=TIME).small.size == (32, 32)
    assert uploads(proxy) == 3


def test_every_run_uploads_its_own_file_on_demand(
    client: InvokeAIClient, proxy: Proxy, params: plans.ResizeParams
) -> None:
    first = plans.resize().run(params, client=client, timeout=TIME)
    second = plans.resize().run(params, client=client, timeout=TIME, upload="always", cleanup=("inputs",))
    assert uploads(proxy) == 2
    assert second.cleanup is not None and second.cleanup.deleted
    assert exists(client, first._uploads.images[0])  # type: ignore[union-attr]
