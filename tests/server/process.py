"""A running InvokeAI: started, watched, killed, started again, and never left behind."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.server.api import call
from tests.server.models import InstalledModel, install_models, make_models
from tests.server.provision import clean_environment, provision, venv_python
from tests.server.versions import DEFAULT_VERSION

START_DEADLINE = 180.0
"""Seconds until a server must answer. On two idle cores it takes about ten."""

STOP_DEADLINE = 5.0
"""Seconds that a server gets to end by itself: it waits for open connections, for ever if we let it."""

IDLE_DEADLINE = 120.0
"""Seconds that a running node may take to notice that its item was canceled."""

_LAUNCH = Path(__file__).with_name("launch.py")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RUNNING = re.compile(r"running on http://[^\s:]+:(\d+)")
_PORT_TAKEN = "address already in use"
_DATABASE_IN_USE = "cannot VACUUM - SQL statements in progress"


class ServerError(RuntimeError):
    """The server did not start or died; the message ends with what it said last."""


class PortTakenError(ServerError):
    """Another process listens on the port."""


class DatabaseInUseError(ServerError):
    """InvokeAI ended by itself: items still waited, and its queue began to work while it tidied its database."""


@dataclass(frozen=True)
class Account:
    """Who to log in as."""

    email: str
    password: str


ADMIN = Account("admin@example.com", "Tiny-Models-1234")
"""The administrator that is set up on every multi-user server."""


class Server:
    """One InvokeAI process and its root folder. Made with ``Server.start``, ended by ``stop`` or its ``with`` block."""

    version: str
    url: str
    root: Path
    log_path: Path
    models: list[InstalledModel]
    """The tiny models, by name; empty unless started with ``models=True``."""
    admin: Account | None
    """The administrator, where the server has accounts."""
    token: str | None
    """The administrator's bearer token."""

    @classmethod
    def start(
        cls,
        *,
        version: str = DEFAULT_VERSION,
        models: bool = False,
        multiuser: bool = False,
        root: Path | None = None,
        port: int | None = None,
        fast: bool = True,
        settings: Mapping[str, object] | None = None,
        timeout: float = START_DEADLINE,
    ) -> Self:
        """Start a server and wait until it answers, installing InvokeAI first where this machine lacks it.

        Without ``root`` it gets a fresh one that is removed at the end; one that is given is kept, and its
        ``invokeai.yaml`` is written anew. ``fast`` takes out the half second of garbage collection before each queue
        item; leave it off to measure latencies. ``settings`` are further lines of ``invokeai.yaml``.
        """
        python = venv_python(provision(version))
        models_folder = make_models(version) if models else None
        accounts = {"multiuser": True} if multiuser else {}  # older releases do not know the setting
        server = cls(version, python, root, port, fast, {**accounts, **(settings or {})})
        try:
            server._launch(timeout)
            if multiuser:
                server._set_up_administrator()
            if models_folder:
                server.models = install_models(server.url, models_folder, server.token)
        except BaseException as error:
            server._end_process(signal.SIGTERM)
            if isinstance(error, Exception):
                error.add_note(f"The server's root is left to look at: {server.root}")
            else:
                server._remove_root()
            raise
        return server

    def __init__(
        self,
        version: str,
        python: Path,
        root: Path | None,
        port: int | None,
        fast: bool,
        settings: Mapping[str, object],
    ) -> None:
        self.version = version
        self._python = python
        self.models = []
        self.admin = None
        self.token = None
        self._temporary = root is None
        self.root = root.absolute() if root else Path(tempfile.mkdtemp(prefix="invokeai-gen-"))
        self.root.mkdir(parents=True, exist_ok=True)
        self.log_path = self.root / "server.log"
        self._port = port
        self._fast = fast
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server in good order, or by force if that takes too long; remove its root if that is ours."""
        self._end_process(signal.SIGTERM)
        self._remove_root()

    def kill(self) -> None:
        """End the server as a crash would: at once, with nothing written or answered. The root stays."""
        self._end_process(_KILL)

    def restart(self, timeout: float = START_DEADLINE) -> None:
        """Start the server again, on the same root and port; first ends it if it still runs."""
        self._end_process(signal.SIGTERM)
        self._launch(timeout)

    def take_back(self, timeout: float = IDLE_DEADLINE) -> None:
        """Cancel whatever waits or runs in the queue, and wait until the node that is running has noticed.

        Ended items stay. An item that the server cannot read blocks its whole queue: then everything is cleared.
        """
        queue = f"{self.url}/api/v1/queue/default"
        end = time.monotonic() + timeout
        while any(self._counts(queue)) and time.monotonic() < end:
            try:
                call("PUT", f"{queue}/cancel_all_except_current", token=self.token)
                if current := call("GET", f"{queue}/current", token=self.token):
                    call("PUT", f"{queue}/i/{current['item_id']}/cancel", token=self.token)
            except urllib.error.HTTPError:
                call("PUT", f"{queue}/clear", token=self.token)
            time.sleep(0.1)

    def _counts(self, queue: str) -> tuple[int, int]:
        counts = call("GET", f"{queue}/status", token=self.token)["queue"]
        return counts["pending"], counts["in_progress"]

    def log_tail(self, lines: int = 60) -> str:
        """The last lines that the server wrote, without colours and the steps of progress bars."""
        try:
            text = self._log_from(max(0, self.log_path.stat().st_size - 64 * 1024))
        except FileNotFoundError:
            return "(nothing written)"
        # Of a progress bar, which overwrites itself, what would be left on a screen.
        return "\n".join([line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip().split("\n")][-lines:])

    def _log_from(self, offset: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(offset)
            return _COLOUR.sub("", log.read().decode("utf-8", errors="replace"))

    def _launch(self, timeout: float) -> None:
        """Start the process on its port, or on a free one; retry if another process or its own queue got in the way."""
        needs_port = self._port is None
        for is_last in (False, False, True):
            if needs_port:
                # Between our asking for a free port and InvokeAI's taking it, another process may be quicker.
                self._port = free_port()
            try:
                self._launch_once(timeout)
            except PortTakenError:
                if is_last or not needs_port:
                    raise
            except DatabaseInUseError:
                if is_last:
                    raise
            else:
                return

    def _launch_once(self, timeout: float) -> None:
        assert self._port is not None
        if listens(self._port):
            raise PortTakenError(f"InvokeAI {self.version} did not start: port {self._port} is taken.")
        self.url = f"http://127.0.0.1:{self._port}"
        settings = {
            "schema_version": "4.0.2",
            "host": "127.0.0.1",
            "port": self._port,
            "device": "cpu",
            "precision": "float32",
            **self._settings,
        }
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in settings.items()]  # JSON is YAML
        (self.root / "invokeai.yaml").write_text("".join(lines), encoding="utf-8")
        options = [*(["--fast"] if self._fast else []), *(["--temporary"] if self._temporary else [])]
        with self.log_path.open("ab") as log:
            log_start = log.tell()
            # -P: the modules beside launch.py must not be mistaken for packages that InvokeAI imports.
            self._process = subprocess.Popen(
                [str(self._python), "-P", str(_LAUNCH), *options, "--root", str(self.root)],
                stdin=subprocess.PIPE,  # launch.py ends when this end of the pipe does
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1"),
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers(log_start, timeout)
        except BaseException:
            self._end_process(_KILL)
            raise

    def _wait_until_it_answers(self, log_start: int, timeout: float) -> None:
        assert self._process is not None
        end = time.monotonic() + timeout
        while True:
            said = self._log_from(log_start)
            # Its own word first: if another process took the port meanwhile, InvokeAI moves to the next one.
            if listening := _RUNNING.search(said):
                if int(listening[1]) != self._port:
                    raise self._error(f"port {self._port} is taken", PortTakenError)
                with contextlib.suppress(OSError, ValueError):
                    call("GET", f"{self.url}/api/v1/app/version", timeout=5)
                    return
            if (code := self._process.poll()) is not None:
                if _PORT_TAKEN in said:
                    raise self._error(f"port {self._port} is taken", PortTakenError)
                if _DATABASE_IN_USE in said:
                    raise self._error("its queue began to work while it tidied its database", DatabaseInUseError)
                raise self._error(f"it ended with code {code} before it answered")
            if time.monotonic() > end:
                raise self._error(f"it did not answer within {timeout:.0f} s")
            time.sleep(0.05)

    def _error(self, what: str, kind: type[ServerError] = ServerError) -> ServerError:
        return kind(f"InvokeAI {self.version} did not start: {what}. Log: {self.log_path}\n{self.log_tail()}")

    def _set_up_administrator(self) -> None:
        with contextlib.suppress(urllib.error.HTTPError):  # a root that was given may have one already
            account = {"email": ADMIN.email, "password": ADMIN.password, "display_name": "Administrator"}
            call("POST", f"{self.url}/api/v1/auth/setup", account)
        credentials = {"email": ADMIN.email, "password": ADMIN.password, "remember_me": True}
        self.token = call("POST", f"{self.url}/api/v1/auth/login", credentials)["token"]
        self.admin = ADMIN

    def _end_process(self, first: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for sign in (first, _KILL):
            _signal_group(process, sign)
            try:
                process.wait(STOP_DEADLINE)
                break
            except subprocess.TimeoutExpired:
                continue
        _signal_group(process, _KILL)  # whatever it had started and left
        if process.stdin:
            process.stdin.close()

    def _remove_root(self) -> None:
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens on this port of loopback. Asked by connecting, as InvokeAI does it."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if sys.platform == "win32":
    _KILL = signal.SIGTERM  # the only one there is: both end the process at once

    def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
        process.terminate()

else:
    _KILL = signal.SIGKILL

    def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
        # PermissionError is what macOS says of a group that only has dead members.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
