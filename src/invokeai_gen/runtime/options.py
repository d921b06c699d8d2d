"""The options of a run, as keyword arguments that editors know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

from typing_extensions import TypedDict

from invokeai_gen.core.values import BoardRef
from invokeai_gen.server.events import Callbacks
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from invokeai_gen.core.problems import ParamsError

CleanupTarget: TypeAlias = Literal["inputs", "outputs", "boards", "queue_items"]


class SubmitOptions(TypedDict, total=False):
    """How a workflow is submitted."""

    runs: int
    """Number of runs, 1 by default; each is a queue item of its own, or several with batch nodes."""
    auto_board: BoardRef | str | None
    """The board that `auto` stands for, by name or id; no board by default."""
    create_boards: bool
    """Create boards that do not exist yet. The job's `cleanup_boards`, or `cleanup=("boards",)`, deletes them again."""
    resolve_models: Literal["auto", "off"]
    """`"auto"` finds each model on this server by key, hash or name; `"off"` sends models as they are given."""
    upload: Literal["once", "always"]
    """`"once"`, the default, does not upload a file again that this client has uploaded before, while the image still
    exists on the server; `"always"` uploads every file."""
    prepend: bool
    """Put it in front of everything that waits in the queue."""


class WaitOptions(Callbacks, total=False):
    """How a run is waited for, besides the callbacks."""

    cancel_on_timeout: bool
    """Cancel the queue item when `timeout` has passed; on by default."""
    cancel_on_interrupt: bool
    """Cancel the queue item on Ctrl-C, if the waiting task is cancelled, and if a callback raises; on by default."""
    cleanup: Iterable[CleanupTarget]
    """What to delete at the end, also after an error: `"inputs"` (uploads), `"outputs"`, `"boards"` (those that
    `create_boards` created), `"queue_items"`. The result is in `cleanup` of the outputs; after an error, it has a note
    for each thing that could not be deleted."""
    progress: bool
    """Show progress on stderr. By default, it is shown in a terminal and in a notebook; `False` turns it off."""


class RunOptions(SubmitOptions, WaitOptions, total=False):
    """How a workflow is submitted and waited for."""


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "errors": ("raise", "collect"),
    "resolve_models": ("auto", "off"),
    "upload": ("once", "always"),
}
"""Options with a fixed set of values; the first one is the default."""


def submit_options(options: Mapping[str, object]) -> SubmitOptions:
    """Return the options of a run or sweep that are about its submission."""
    return cast("SubmitOptions", {key: value for key, value in options.items() if key in SubmitOptions.__annotations__})


def run_options(options: RunOptions) -> tuple[SubmitOptions, Callbacks, frozenset[CleanupTarget]]:
    """Return the parts of a run's options after checking them: submission, callbacks, clean-up."""
    check_options(options, RunOptions.__annotations__)
    callbacks = cast("Callbacks", {key: value for key, value in options.items() if key in Callbacks.__annotations__})
    return submit_options(options), callbacks, cleanup_targets(options.get("cleanup", ()))


def check_options(given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise `TypeError` for an unknown option, and `ParamsError` for a value that an option cannot have."""
    unknown = sorted(set(given).difference(known))
    if unknown:
        raise TypeError(f"unknown option {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    for name, allowed in _CHOICES.items():
        if given.get(name, allowed[0]) not in allowed:
            raise _refused(name, given[name], " or ".join(map(repr, allowed)))
    retries = given.get("retries", 0)
    if type(retries) is not int or retries < 0:
        raise _refused("retries", retries, "0 or more")
    runs = given.get("runs", 1)
    if not isinstance(runs, int) or runs < 1:
        raise _refused("runs", runs, "1 or more")


def _refused(name: str, value: object, wanted: str) -> ParamsError:
    from invokeai_gen.core.problems import ParamsError, Problem

    return ParamsError([Problem(name, f"{name} is {shown(value)}, but should be {wanted}")])


def cleanup_targets(given: Iterable[CleanupTarget]) -> frozenset[CleanupTarget]:
    """Return the targets. Raise `ValueError` for anything else, such as a string instead of a tuple."""
    known = get_args(CleanupTarget)
    unknown = [repr(given)] if isinstance(given, str) else [repr(name) for name in given if name not in known]
    if unknown:
        raise ValueError(f"cleanup takes a tuple of {', '.join(map(repr, known))}, not {', '.join(unknown)}")
    return frozenset(given)
