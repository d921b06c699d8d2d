"""`ManyRuns`: the methods of `Workflow` that run it many times, loaded when one of them is used.

The walk of a sweep to its POST: `asweep` → `start` → `_start_on_one` → values resolved and laid out (`layout`) → noted in
the sweep file → `Dispatcher.send` (`dispatch`). Over several servers: `start` → `_start_on_several` →
`MultiServer.resume` (`multi_server`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Unpack, cast

from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.errors import MissingExtraError
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import check_options
from invokeai_gen.runtime.workflow import O, P, RunnableWorkflow
from invokeai_gen.server import background
from invokeai_gen.server.background import bridge, in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of, shared_client
from invokeai_gen.server.constants import DEFAULT_CAPACITY
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.sweeps import sweep_file
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.dispatch import Dispatcher
from invokeai_gen.sweeps.dynamic_prompts import expand
from invokeai_gen.sweeps.files.tables import read_csv, read_jsonl
from invokeai_gen.sweeps.journal import Journal, entries_of
from invokeai_gen.sweeps.layout import lay_out, resolve_values, unresolved_values
from invokeai_gen.sweeps.multi_server import MultiServer
from invokeai_gen.sweeps.options import CollectOptions, SweepOptions, TableOptions
from invokeai_gen.sweeps.space import Space, space_of
from invokeai_gen.sweeps.state import named_client
from invokeai_gen.sweeps.sweep import AsyncSweep, Sweep
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from invokeai_gen.runtime.workflow import AnyClient

    StrPath = str | os.PathLike[str]

Q = ParamSpec("Q")


class AsyncManyRuns(RunnableWorkflow[P, O]):
    """A workflow that runs many times from one call, awaited; `ManyRuns` has the blocking twins."""

    async def asweep(
        self,
        base: P | None = None,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        rows: Iterable[P] | None = None,
        client: AnyClient | None = None,
        **options: Unpack[SweepOptions],
    ) -> AsyncSweep[P, O]:
        """Submit many runs with as few requests as possible, and return a sweep to follow, without waiting for results.

        `product` has a list of values for each input: every combination is run, the last input changing fastest. The
        lists of `zip` advance together; `rows` are whole `Params`; the option `replace` searches and replaces words of
        a text, as in `replace={"prompt": {"fox": ["owl", "cat"]}}`. A list may be `DynamicPrompts("a {red|blue} fox")`,
        which the server expands. All of these multiply with each other, with `runs`, and with the batch nodes of the
        workflow. Any other input keeps its value in `base`, or its default. A list has at most 100,000 values.

        All values are checked before anything is sent; files are uploaded and models and boards looked up once. What
        the server cannot vary by itself (models, colours, boards, lists …) goes into enqueues of its own. The call
        returns when the first of these is in the queue; the others follow, as the queue has room. The workflow that is
        stored with each image has the values of the first one: the values of each run are in its result, and in the
        manifest of `Sweep.download`. Raise `ParamsError`, and whatever `submit` raises.
        """
        await self.aload()
        core = core_of(client)
        space = space_of(
            self.params_type,
            base,
            product=await expand(self.params_type, product, core),
            zipped=await expand(self.params_type, zip, core),
            rows=rows,
            replacements=options.get("replace"),
        )
        return await start(self, space, core, options)

    async def asweep_csv(
        self, path: StrPath, base: P | None = None, *, client: AnyClient | None = None, **options: Unpack[TableOptions]
    ) -> AsyncSweep[P, O]:
        """Submit a run for each row of a CSV file, whose columns are Python names or labels of inputs; like `asweep`.

        An empty cell, and an input without a column, keeps its value in `base`. Paths of images are relative to the
        file. `product` multiplies the rows. The manifest of a sweep is such a file, too: each of its runs is run again
        with its values. Raise `TableError` with every cell that does not fit, by row and column.
        """
        return await self.asweep(rows=await in_thread(self.read_csv, path, base), client=client, **options)

    async def asweep_jsonl(
        self, path: StrPath, base: P | None = None, *, client: AnyClient | None = None, **options: Unpack[TableOptions]
    ) -> AsyncSweep[P, O]:
        """Submit a run for each line of a file, a JSON object of values by Python name or label; like `asweep_csv`."""
        return await self.asweep(rows=await in_thread(self.read_jsonl, path, base), client=client, **options)

    def read_csv(self, path: StrPath, base: P | None = None, *, ignore_extra: bool = False) -> list[P]:
        """Return the rows of a CSV file; see `sweep_csv`. `ignore_extra` skips columns that name no input."""
        return read_csv(Path(path), self.plan, self.params_type, base, ignore_extra=ignore_extra)

    def read_jsonl(self, path: StrPath, base: P | None = None, *, ignore_extra: bool = False) -> list[P]:
        """Return the lines of a file of JSON objects; see `sweep_jsonl`. `ignore_extra` skips names of no input."""
        return read_jsonl(Path(path), self.plan, self.params_type, base, ignore_extra=ignore_extra)

    async def aresume_sweep(
        self, file: StrPath, *, client: AnyClient | None = None, **options: Unpack[CollectOptions]
    ) -> AsyncSweep[P, O]:
        """Resume a sweep that was started with `file=`, perhaps by a process that has died since.

        What was sent is not sent again; what was not is sent now; what failed or was canceled waits for `retry`. A sweep
        over several servers continues on these, or on those of `servers=`. Raise `SweepFileError` for a file that is
        damaged or of another workflow or server, and whatever `sweep` raises.
        """
        await self.aload()
        check_options(options, CollectOptions.__annotations__)
        reading = in_thread(_read, self, Path(file), core_of(client), options)
        _, go_on = await unbroken(reading, undo=lambda read: read[0].close())
        return await bridge(go_on(), undo=AsyncSweep.close)


def _blocking(
    method: Callable[Concatenate[Any, Q], Coroutine[Any, Any, AsyncSweep[P, O]]],
    undo: Callable[[AsyncSweep[P, O]], Coroutine[Any, Any, None]] = AsyncSweep.__aexit__,
) -> Callable[Concatenate[Any, Q], Sweep[P, O]]:
    """Return the blocking twin of a method that starts a sweep; `undo` ends one that an interrupt leaves without owner."""

    @wraps(method)
    def call(self: Any, /, *args: Q.args, **kwargs: Q.kwargs) -> Sweep[P, O]:
        return Sweep(background.run(method(self, *args, **kwargs), undo=undo))

    return call


class ManyRuns(AsyncManyRuns[P, O]):
    """A workflow that runs many times from one call."""

    sweep = _blocking(AsyncManyRuns[P, O].asweep)
    sweep_csv = _blocking(AsyncManyRuns[P, O].asweep_csv)
    sweep_jsonl = _blocking(AsyncManyRuns[P, O].asweep_jsonl)
    resume_sweep = _blocking(AsyncManyRuns[P, O].aresume_sweep, undo=AsyncSweep.close)


async def start(
    workflow: RunnableWorkflow[P, O], space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions
) -> AsyncSweep[P, O]:
    """Submit a sweep; return when its first items are in the queue."""
    check_options(options, SweepOptions.__annotations__)
    servers = _servers(options.get("servers"))
    file, journal = options.get("file"), None
    if file is not None:
        urls = None if servers is None else [one.url for one in servers]
        header = sweep_file.header_of(workflow.plan, space, client.url, options, servers=urls)
        journal = await unbroken(in_thread(Journal.create, Path(file), header), undo=Journal.discard)
    if servers is not None:
        return await bridge(_start_on_several(workflow, space, servers, options, journal), undo=AsyncSweep.__aexit__)
    return await bridge(_start_on_one(workflow, space, client, options, journal), undo=AsyncSweep.__aexit__)


def _read(
    workflow: RunnableWorkflow[P, O], file: Path, client: AsyncInvokeAIClient, given: CollectOptions
) -> tuple[Journal, Callable[[], Coroutine[Any, Any, AsyncSweep[P, O]]]]:
    """Read a sweep file, which takes a while with thousands of rows; return it with what continues its sweep."""
    journal, entries = Journal.open(file)
    header, layout, past = entries[0], None, None
    try:
        space, kept = sweep_file.read_header(file, header, workflow.plan, workflow.params_type)
        options = cast("SweepOptions", {**given, **kept})
        check_options(options, SweepOptions.__annotations__)
        several = _servers(given.get("servers") or header.get("servers"))
        if several is not None and "server" in header and len(several) == 1:
            (client,), several = several, None
        is_shared = several is not None
        if not is_shared or "server" in header:
            sweep_file.check_server(file, header, None if is_shared else client.url)
        if (stored := next(entries_of(entries, "layout"), None)) is not None:  # else nothing was sent
            layout = sweep_file.decode_layout(workflow.plan, space, stored, options)
            past = None if is_shared else sweep_file.replay(layout, stored, entries)
        preparations = sweep_file.preparations_in(journal, () if is_shared else entries)
    except BaseException as error:
        journal.close()
        sweep_file.raise_for_damage(file, error)
        raise
    if several is not None:
        return journal, partial(_start_on_several, workflow, space, several, options, journal, layout, entries)
    return journal, partial(_start_on_one, workflow, space, client, options, journal, preparations, layout, past)


async def _start_on_one(
    workflow: RunnableWorkflow[P, O],
    space: Space[P],
    client: AsyncInvokeAIClient,
    options: SweepOptions,
    journal: Journal | None,
    earlier: Preparations | None = None,
    layout: Layout | None = None,
    past: sweep_file.ReplayedState | None = None,
) -> AsyncSweep[P, O]:
    """Send the first items, or continue what another process has sent.

    `earlier` are the uploads of that process. `past` is `None` if it ended before it sent anything.
    If the first items cannot be sent, undo everything unless something may be in the queue.
    """
    preparations = sweep_file.preparations_in(journal) if earlier is None else earlier
    dispatcher, is_sent = None, False
    try:
        if layout is None or past is None:
            resolved = await resolve_values(workflow.plan, space, client, options, preparations)
            layout = await lay_out(workflow.plan, space, client, options, resolved)
            limit = DEFAULT_CAPACITY if len(layout) <= DEFAULT_CAPACITY else await client.queue.capacity()
            blocks = layout.blocks(limit)
            if journal is not None:
                await in_thread(journal.note, layout=sweep_file.encode_layout(layout, blocks))
            dispatcher = Dispatcher(layout, client, options, preparations, journal, resolved)
            await dispatcher.send(blocks)
        else:
            dispatcher = Dispatcher(layout, client, options, preparations, journal)
            await dispatcher.resume(past)
    except BaseException as error:
        if dispatcher is not None:
            is_sent = dispatcher.may_have_sent
            if journal is None or (isinstance(error, asyncio.CancelledError) and past is None):
                await dispatcher.cancel_quietly()
            await dispatcher.close()
        if journal is None or not (is_sent or earlier):
            await preparations.undo(client, error)
        if journal is not None:
            journal.close() if is_sent or earlier else journal.discard()
            if is_sent:
                error.add_note(f"the sweep can be resumed from {journal.path}, which has what was sent")
        raise
    return AsyncSweep(dispatcher, workflow.outputs_type, options)


async def _start_on_several(
    workflow: RunnableWorkflow[P, O],
    space: Space[P],
    servers: Sequence[AsyncInvokeAIClient],
    options: SweepOptions,
    journal: Journal | None,
    layout: Layout | None = None,
    entries: Sequence[Mapping[str, Any]] = (),
) -> AsyncSweep[P, O]:
    try:
        if importlib.util.find_spec("distributed") is None:
            raise MissingExtraError("several servers need", "dask", "servers")
        if layout is None:
            asked = servers[0] if servers else shared_client()
            # Each server has other names for uploaded images; they are put into the data of an item when it is sent.
            resolved = unresolved_values(workflow.plan, space, options)
            layout = await lay_out(workflow.plan, space, asked, options, resolved)
            if journal is not None:
                await in_thread(journal.note, layout=sweep_file.encode_layout(layout, ()))
        dask = None if servers else options.get("servers")
        sweep = MultiServer(layout, servers, options, journal, entries, dask=dask)
        await sweep.resume()
    except BaseException as error:
        if journal is not None:
            journal.close() if entries else journal.discard()
            if entries:
                sweep_file.raise_for_damage(journal.path, error)
        raise
    return AsyncSweep(sweep, workflow.outputs_type, options)


def _servers(given: Any) -> list[AsyncInvokeAIClient] | None:
    """Return the clients of `servers=`, an empty list for a dask cluster; `None` if there is only the one of `client=`.

    Raise `ParamsError` for anything else.
    """
    if given is None:
        return None
    if hasattr(given, "scheduler_info"):
        return []
    if isinstance(given, str) or not isinstance(given, Iterable) or not given:
        wanted = "a list of addresses, or a dask.distributed Client"
        raise ParamsError([Problem("servers", f"servers is {shown(given)}, but should be {wanted}")])
    return [*{client.url: client for client in map(named_client, given)}.values()]
