"""Folders that are made once per machine and then kept: a server's environment, its tiny models."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

MARKER = ".complete"
LOCK_DEADLINE = 30 * 60.0
"""Seconds to wait for another process; far above what building an environment takes on a slow line."""


class CacheError(RuntimeError):
    """A cached folder could not be had."""


def cache_folder() -> Path:
    """``$INVOKEAI_GEN_CACHE``, or this user's cache folder of the platform."""
    chosen = os.environ.get("INVOKEAI_GEN_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "invokeai-gen" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "invokeai-gen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invokeai-gen"


def say(text: str) -> None:
    """Tell whoever waits; on stderr, so that stdout stays a command's answer."""
    print(text, file=sys.stderr, flush=True)


def is_complete(folder: Path) -> bool:
    """Whether ``folder`` was built to the end, and here: it may hold absolute paths, so that a copy is no use."""
    try:
        return (folder / MARKER).read_text(encoding="utf-8") == os.path.realpath(folder)
    except OSError:
        return False


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return ``folder``, calling ``build`` on it (made, empty) unless some process has already built it to the end."""
    if is_complete(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if is_complete(folder):
            return folder
        if folder.exists():
            say(f"Removing an unfinished {folder}")
            shutil.rmtree(folder)
        folder.mkdir()
        build(folder)
        (folder / MARKER).write_text(os.path.realpath(folder), encoding="utf-8")
    return folder


class FileLock:
    """A lock between processes that the system itself lets go of when its holder ends, however that comes about."""

    def __init__(self, path: Path, deadline: float = LOCK_DEADLINE) -> None:
        self._path = path
        self._deadline = deadline
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        # A program that we start while we build keeps the lock with us: were we killed, nobody would
        # wipe the folder while it still writes there.
        os.set_inheritable(self._fd, True)
        try:
            self._wait()
        except BaseException:
            os.close(self._fd)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays: removing it would let a third process lock a new one while a second holds the old.
        os.close(self._fd)

    def _wait(self) -> None:
        end = time.monotonic() + self._deadline
        told = False
        while not _try_lock(self._fd):
            if not told:
                say(f"Waiting for another process that holds {self._path}")
                told = True
            if time.monotonic() > end:
                raise CacheError(f"Another process has held {self._path} for {self._deadline:.0f} s; is it stuck?")
            time.sleep(0.1)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
