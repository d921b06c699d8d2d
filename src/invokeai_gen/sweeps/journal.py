"""The sweep file, from which another process can resume a sweep; for its contents see `sweep_file`.

One JSON object a line: first the arguments, then everything that has happened since. Each line is on disk before the
next step is taken; an incomplete last line is ignored.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self

from invokeai_gen.atomic_files import locked, replacing
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.errors import InvokeAIGenError

FORMAT: Final = 1


class SweepFileError(InvokeAIGenError):
    """A sweep file cannot be used; the message says why."""


class Journal:
    """A sweep file, locked against other processes until it is closed."""

    def __init__(self, path: Path, lock: contextlib.ExitStack) -> None:
        self.path = path
        self._lock: contextlib.ExitStack | None = lock
        self._writing = threading.Lock()

    @classmethod
    def create(cls, path: Path, header: Mapping[str, JsonValue]) -> Self:
        """Create a sweep file. Raise `SweepFileError` if the file exists."""
        with _locked(path) as lock, _explained(path, "written"):
            if path.exists():
                raise SweepFileError(
                    f"{path} exists already: resume its sweep (`resume_sweep`, or `--resume` of the command), or choose "
                    "another file"
                )
            with replacing(path) as file:
                file.write(_line({"sweep": FORMAT, **header}))
                file.flush()
                os.fsync(file.fileno())
            return cls(path, lock.pop_all())

    @classmethod
    def open(cls, path: Path) -> tuple[Self, list[dict[str, Any]]]:
        """Open a sweep file; return it with its entries, the header first. Raise `SweepFileError` for any other file."""
        with _locked(path) as lock, _explained(path, "read"):
            text = path.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            try:
                entries = [json.loads(line) for line in whole.splitlines()]
                if not entries or not all(isinstance(entry, dict) for entry in entries) or "sweep" not in entries[0]:
                    raise ValueError("it does not begin with a sweep")
                if entries[0]["sweep"] != FORMAT:
                    raise ValueError(f"it has the format {entries[0]['sweep']!r}, not {FORMAT}")
            except ValueError as error:
                raise SweepFileError(f"{path} is not a sweep file: {error}") from error
            if len(whole) < len(text):
                os.truncate(path, len(whole))
            return cls(path, lock.pop_all()), entries

    def note(self, **entry: JsonValue) -> None:
        """Append an entry. Raise `SweepFileError` if that fails: the step it announces must not be taken then."""
        with self._writing:
            is_open = self._lock is not None
            self.take()
            try:
                with _explained(self.path, "written"), self.path.open("r+b", buffering=0) as file:
                    _append(file, _line(entry))
            finally:
                if not is_open:
                    self.close()

    def discard(self) -> None:
        """Delete the file of a sweep that did not start."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.close()

    def take(self) -> None:
        """Lock the file again after `close`. Raise `SweepFileError` if another process has it now."""
        if self._lock is None:
            self._lock = _locked(self.path)

    def close(self) -> None:
        """Unlock the file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _append(file: FileIO, line: bytes) -> None:
    """Append a line, whole or not at all: a disk that is full takes a part of it, to which the next would be added."""
    end = file.seek(0, os.SEEK_END)
    try:
        if file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _line(entry: Mapping[str, JsonValue]) -> bytes:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


@contextlib.contextmanager
def _explained(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SweepFileError(f"{path} cannot be {done}: {error.strerror or error}") from error


def _locked(path: Path) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    try:
        stack.enter_context(locked(path, wait=False))
    except BlockingIOError:
        raise SweepFileError(f"{path} is in use by a sweep that is still running") from None
    except OSError as error:  # of the folder for temporary files, which has the lock
        raise SweepFileError(f"{path} cannot be locked: {error}") from error
    return stack


def entries_of(entries: Sequence[Mapping[str, Any]], key: str) -> Iterator[Any]:
    """Return what the entries of one kind say, in order."""
    return (entry[key] for entry in entries[1:] if key in entry)
