"""Files take connections that block, each in a thread: none of them outlives its call."""

import asyncio
import gc
import ssl
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import PIL.Image
import pytest

from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient
from invokeai_gen.server.errors import NotFoundError, RequestTimeoutError, UnsupportedMediaError
from invokeai_gen.server.file_transport import FileTransport
from tests.live import proxy as faults
from tests.live.proxy import Exchange, Fault, Proxy
from tests.live.test_events import certificate as certificate
from tests.live.test_events import wait_for

DOWNLOAD = "GET .*/full"
UPLOAD = "POST /api/v1/images/upload"


@pytest.fixture(params=["plain", "TLS"])
def proxy(request: pytest.FixtureRequest, server_url: str, certificate: tuple[Path, Path]) -> Iterator[Proxy]:
    context = None
    if request.param == "TLS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    with Proxy(server_url, tls=context) as made:
        yield made


@pytest.fixture
def image(client: InvokeAIClient) -> Iterator[str]:
    name = client.images.upload(png(512, 512)).image_name
    yield name
    client.images.delete([name])


def png(width: int = 64, height: int = 32) -> bytes:
    buffer = BytesIO()
    PIL.Image.effect_noise((width, height), 50).save(buffer, "PNG")
    return buffer.getvalue()


def half(exchange: Exchange) -> None:
    """Half of the body arrives, and then nothing."""
    head, end, body = exchange.answer().partition(b"\r\n\r\n")
    exchange.send(head + end + body[: len(body) // 2])
    exchange.proxy.closed.wait()


def size(path: Path) -> int:
    return path.stat().st_size


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "invokeai-gen file"]


def test_files_come_and_go_and_errors_keep_their_reasons(proxy: Proxy, tmp_path: Path) -> None:
    with InvokeAIClient(proxy.url, verify=False) as client:
        name = client.images.upload(png(64, 32)).image_name
        assert client.images.download(name, tmp_path / "a.png") == (tmp_path / "a.png").stat().st_size
        assert client.images.read(name) == (tmp_path / "a.png").read_bytes()
        assert client.images.delete(name).deleted == (name,)
        with pytest.raises(NotFoundError) as missing:
            client.images.download(name, tmp_path / "b.png")
        with pytest.raises(UnsupportedMediaError) as refused:
            client.images.upload(b"not an image")
    assert missing.value.path.endswith(f"{name}/full")
    assert refused.value.detail
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    wait_for(lambda: not threads(), "a thread is left")


@pytest.mark.parametrize(("step", "fault"), [(DOWNLOAD, half), (DOWNLOAD, faults.silent), (UPLOAD, faults.muted)])
def test_a_transfer_that_is_cancelled_ends_its_thread_and_leaves_no_file(
    proxy: Proxy, image: str, tmp_path: Path, step: str, fault: Fault
) -> None:
    proxy.on(step, fault, faults.FOR_GOOD)

    async def cancel() -> None:
        async with AsyncInvokeAIClient(proxy.url, verify=False) as client:
            call = client.images.upload(png()) if step == UPLOAD else client.images.download(image, tmp_path / "a.png")
            task = asyncio.create_task(call)
            await asyncio.to_thread(wait_for, lambda: proxy.asked(step), "nothing was sent")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    wait_for(lambda: not threads(), "a thread is left")
    assert not [*tmp_path.iterdir()]


def test_an_answer_that_comes_in_the_moment_of_cancelling_is_closed(proxy: Proxy, image: str) -> None:
    may_answer = threading.Event()

    def held(exchange: Exchange) -> None:
        may_answer.wait()
        half(exchange)

    proxy.on(DOWNLOAD, held)

    async def cancel() -> None:
        async with httpx.AsyncClient(transport=FileTransport(verify=False)) as client:
            task = asyncio.create_task(client.get(f"{proxy.url}/api/v1/images/i/{image}/full"))
            await asyncio.to_thread(wait_for, lambda: proxy.asked(DOWNLOAD), "nothing was sent")
            may_answer.set()
            wait_for(lambda: not threads(), "no answer")  # holds up the loop, so that nothing takes the answer
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    gc.collect()  # warns of a socket that was left open


def test_the_next_transfer_does_not_inherit_a_connection_that_was_broken_off(
    proxy: Proxy, image: str, tmp_path: Path
) -> None:
    proxy.on(DOWNLOAD, half)

    async def cancel() -> None:
        async with AsyncInvokeAIClient(proxy.url, verify=False, max_retries=0) as client:
            task = asyncio.create_task(client.images.download(image, tmp_path / "a.png"))
            await asyncio.to_thread(wait_for, lambda: any(map(size, tmp_path.iterdir())), "no body came")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.images.download(image, tmp_path / "b.png")

    asyncio.run(cancel())
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


@pytest.mark.parametrize("fault", [half, faults.silent])
def test_a_download_that_stalls_ends_with_its_time_limit(
    proxy: Proxy, image: str, tmp_path: Path, fault: Fault
) -> None:
    proxy.on(DOWNLOAD, fault, faults.FOR_GOOD)
    with (
        InvokeAIClient(proxy.url, verify=False, request_timeout=0.5) as client,
        pytest.raises(RequestTimeoutError, match="within 0.5 s"),
    ):
        client.images.download(image, tmp_path / "a.png")
    wait_for(lambda: not threads(), "a thread is left")
    assert not [*tmp_path.iterdir()]


def test_a_download_that_breaks_off_is_begun_again(proxy: Proxy, image: str, tmp_path: Path) -> None:
    proxy.on(DOWNLOAD, faults.cut)
    with InvokeAIClient(proxy.url, verify=False) as client:
        client.images.download(image, tmp_path / "a.png")
        assert proxy.asked(DOWNLOAD) == 2
        assert client.images.read(image) == (tmp_path / "a.png").read_bytes()
