"""Files that the command writes: atomically, and never over another file by accident."""

from __future__ import annotations

from pathlib import Path

from invokeai_gen.errors import InvokeAIGenError


def save_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a file in one step, and its folder if it does not exist. Raise `InvokeAIGenError`, which names the path.

    Without `overwrite`, an existing file or link is an error.
    """
    from invokeai_gen.atomic_files import remove_leftovers
    from invokeai_gen.codegen.generated_files import write_text

    try:
        if not overwrite and (path.exists() or path.is_symlink()):
            raise InvokeAIGenError(f"{path}: exists already; --force overwrites it")
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        write_text(path, text)
    except OSError as error:
        raise InvokeAIGenError(f"{path}: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        raise InvokeAIGenError(f"{path}: the text cannot be written as UTF-8") from error


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file. Raise `InvokeAIGenError`, which names the path."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvokeAIGenError(f"{path}: {error.strerror or error}") from error
