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
    """What happens when an item fails or is canceled: `"raise"`, the default, raises its error where the results are
    iterated; `"collect"` yields a result that has the error in it."""
    cancel_on_interrupt: bool
    """Cancel what is in the queue if Ctrl-C, or cancelling the task, interrupts waiting for results or saving them; on by
    default. Elsewhere, as in the body of a loop over results, only leaving a `with` block cancels it."""
    progress: bool
    """Show progress on stderr while the sweep is waited for. By default, it is shown in a terminal and in a notebook."""
    servers: Sequence[str | ServerClient | AsyncInvokeAIClient] | Any | None
    """Several servers, by address or client, that share the items: each takes the next one when it is free. What a server
    has not finished when it goes away is run by the others, and a server that lacks a model is left out. Or the
    `dask.distributed.Client` of your own cluster: each worker runs items on the server that its name or a resource
    names, else on its `INVOKEAI_URL`. Needs the extra `servers`."""


class SweepOptions(SubmitOptions, CollectOptions, total=False):
    """How a sweep is submitted and waited for."""

    file: str | os.PathLike[str] | None
    """A new file to record what has been sent, so that `resume_sweep` can continue in another process. It has the values,
    but neither images nor secrets."""
    retries: int
    """How often a failed item is retried automatically; 0 by default."""
    replace: Mapping[str, Mapping[str, Sequence[str]]] | None
    """Search and replace in texts of the base: `{"prompt": {"fox": ["owl", "cat"]}}` runs the prompt with each of these
    words in place of `fox`. Several words multiply."""


class TableOptions(SweepOptions, total=False):
    """How the rows of a file are submitted and waited for."""

    product: Mapping[str, object] | None
    """Lists of values that multiply the rows, as in `sweep`."""
