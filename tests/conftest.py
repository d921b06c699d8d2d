"""What all tests share: a real InvokeAI server, and its log where a test that used it fails."""

import contextlib
import importlib
import os
import pkgutil
import sys
from collections.abc import Generator, Iterator

import pytest

import invokeai_gen
from tests.server import Server

if sys.version_info < (3, 11, 8):
    # pytest parses our modules when they are imported. Two threads that parse at once, as lazy imports may, meet a bug of
    # these Pythons ("AST constructor recursion depth mismatch"), so everything is imported beforehand.
    for module in pkgutil.walk_packages(invokeai_gen.__path__, "invokeai_gen."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of an extra
                importlib.import_module(module.name)

_SERVER = pytest.StashKey[Server]()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Our own server with the tiny models, for the whole session. Not to be killed: start another one for that."""
    with Server.start(models=True) as running:
        request.config.stash[_SERVER] = running
        yield running


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """The server that ``INVOKEAI_URL`` names (it needs the tiny models), else our own."""
    url = os.environ.get("INVOKEAI_URL")
    if url:
        return url.rstrip("/")
    own: Server = request.getfixturevalue("server")
    return own.url


@pytest.fixture(autouse=True)
def _nothing_left_in_the_queue(request: pytest.FixtureRequest) -> Iterator[None]:
    """Cancel what a test leaves in the queue of our own server, so that a late one does not make the next ones fail."""
    yield
    running = request.config.stash.get(_SERVER, None)
    if running and running.running and {"server", "server_url"} & set(request.fixturenames):
        running.take_back()


@pytest.fixture(autouse=True)
def _as_on_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as on a person's machine on a CI machine, too: `check` writes annotations where `CI` is set."""
    monkeypatch.delenv("CI", raising=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = item.config.stash.get(_SERVER, None)
    if report.failed and running and {"server", "server_url"} & set(getattr(item, "fixturenames", ())):
        report.sections.append((f"InvokeAI log ({running.log_path})", running.log_tail()))
    return report
