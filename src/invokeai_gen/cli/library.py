"""The workflows of a server's library: found by name or id, and named as files."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from invokeai_gen.cli.help import did_you_mean
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.server.workflows import SavedWorkflow

_MAX_NAME: Final = 80
"""Letters of a file name; in UTF-8 it has at most twice as many bytes."""


class LibraryError(InvokeAIGenError):
    """A workflow of a server's library that is missing, ambiguous, or cannot be changed."""


def find_saved(wanted: str, listed: Sequence[SavedWorkflow]) -> SavedWorkflow:
    """Return the workflow with that id, else the only one with that name. Raise `LibraryError` otherwise."""
    found = [item for item in listed if item.workflow_id == wanted] or [item for item in listed if item.name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(item.workflow_id for item in found)
        raise LibraryError(f"{len(found)} workflows are called {wanted!r}; choose one by its id: {ids}")
    hint = did_you_mean(wanted, (item.name for item in listed)) or "; `invokeai-gen workflows list` shows all"
    raise LibraryError(f"no workflow has the name or id {wanted!r}{hint}")


def file_names(workflows: Sequence[SavedWorkflow]) -> dict[str, str]:
    """Return a file name for each workflow, by id: a plain name that stays in its folder, whatever the server sends.

    If several have one name, their ids are added.
    """
    stems = {item.workflow_id: stem_of(item.name) for item in workflows}
    taken = [stem.casefold() for stem in stems.values()]
    return {
        key: f"{stem}.json" if taken.count(stem.casefold()) == 1 else f"{stem}-{stem_of(key)}.json"
        for key, stem in stems.items()
    }


def stem_of(name: str) -> str:
    """Return a name of letters, digits and `-`, without separators, dots, controls and the device names of Windows."""
    text = "".join(char if char.isalnum() else "-" for char in unicodedata.normalize("NFKC", name))
    text = "-".join(filter(None, text.split("-")))[:_MAX_NAME].strip("-") or "workflow"
    while len(text.encode()) > 2 * _MAX_NAME:
        text = text[:-1]
    return text if safe_name(text) == text else f"{text}-workflow"
