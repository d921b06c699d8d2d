"""The options of a sweep, as keyword arguments that editors know."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.client import AsyncInvokeAIClient


class CollectOptions(TypedDict, total=False):
    """How a sweep is waited for."""

    errors: Literal["raise", "collect"]
    """What becomes of an item that fails or is canceled: `"raise"`, as it is unless given, raises its error where the
    results are gone through; `"collect"` gives it among them, with the error in it."""
    cancel_on_interrupt: bool
    """Cancel what is in the queue on Ctrl-C and when the waiting task is canceled; on unless switched off."""
    progress: bool
    """Show progress in the terminal or notebook while the sweep is waited for; off unless switched on."""
    servers: Sequence[str | ServerClient | AsyncInvokeAIClient] | Any | None
    """Several servers, by address or client, that share the items: each takes the next one when it is free, what one has
    not finished when it goes away is run by the others, and one that lacks a model is left out. Or a
    `dask.distributed.Client` of a cluster of your own: each worker runs items on the server that its name or a resource
    gives, else on its `INVOKEAI_URL`. Needs the extra `servers`."""


class SweepOptions(SubmitOptions, CollectOptions, total=False):
    """How a sweep is submitted and waited for."""

    file: str | os.PathLike[str] | None
    """Where to note what has been sent, so that `resume_sweep` can go on in another process. A new file, written as the
    sweep goes on; it holds the values, but neither images nor anything secret."""
    retries: int
    """How often an item that fails is sent again by itself; 0 unless given."""
    replace: Mapping[str, Mapping[str, Sequence[str]]] | None
    """Search and replace in texts of the base: `{"prompt": {"fox": ["owl", "cat"]}}` runs the prompt with each of these
    words in place of `fox`. Several words multiply."""
