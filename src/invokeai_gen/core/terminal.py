"""Where stderr is shown: in a terminal, in a notebook, or not at all."""

from __future__ import annotations

import sys


def wants_progress(given: bool | None) -> bool:
    """Return whether to show progress: as `given`, else if stderr is a terminal or the output of a notebook."""
    if given is not None:
        return given
    stream = sys.stderr
    return stream is not None and (is_notebook() or stream.isatty())


def is_notebook() -> bool:
    """Return whether stderr is shown below the cell of a notebook."""
    return type(sys.stderr).__module__.startswith("ipykernel")
