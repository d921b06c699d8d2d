"""Starting a sweep from its arguments, or from its file.

The walk of a sweep to its POST: `sweep` → `start` → `_start_on_one` → values resolved and laid out (`layout`) → noted in
the sweep file → `Dispatcher.send` (`dispatch`). Over several servers: `start` → `_start_on_several` →
`MultiServer.resume` (`multi_server`).
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.errors import MissingExtraError
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import check_options
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.runner import AnyClient
from invokeai_gen.runtime.workflow import RunnableWorkflow
from invokeai_gen.server.background import bridge, in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of, shared_client
from invokeai_gen.server.constants import DEFAULT_CAPACITY
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.sweeps import sweep_file
from invokeai_gen.sweeps.async_sweep import AsyncSweep
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.dispatch import Dispatcher
from invokeai_gen.sweeps.dynamic_prompts import expand
from invokeai_gen.sweeps.journal import Journal
from invokeai_gen.sweeps.layout import lay_out, lay_out_singly, resolve_values
from invokeai_gen.sweeps.multi_server import MultiServer
from invokeai_gen.sweeps.options import CollectOptions, SweepOptions
from invokeai_gen.sweeps.space import Space, space_of
from invokeai_gen.sweeps.state import named_client
from invokeai_gen.texts import shown

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)


async def sweep(
    workflow: RunnableWorkflow[P, O],
    base: P | None,
    product: Mapping[str, object] | None,
    zipped: Mapping[str, object] | None,
    rows: Iterable[P] | None,
    client: AnyClient | None,
    options: SweepOptions,
) -> AsyncSweep[P, O]:
    """Submit the sweep that these arguments ask for; see `Workflow.sweep`."""
    core = core_of(client)
    space = space_of(
        workflow.params_type,
        base,
        product=await expand(workflow.params_type, product, core),
        zipped=await expand(workflow.params_type, zipped, core),
        rows=rows,
        replacements=options.get("replace"),
    )
    return await start(workflow, space, core, options)


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


async def resume(
    workflow: RunnableWorkflow[P, O], file: Path, client: AnyClient | None, given: CollectOptions
) -> AsyncSweep[P, O]:
    """Resume the sweep of a file: nothing that was sent or uploaded is sent or uploaded again.

    Raise `SweepFileError` for a file that is damaged, or of another workflow or server, before anything is sent.
    """
    check_options(given, CollectOptions.__annotations__)
    reading = in_thread(_read, workflow, file, core_of(client), given)
    _, go_on = await unbroken(reading, undo=lambda read: read[0].close())
    return await bridge(go_on(), undo=AsyncSweep.close)


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
        if (stored := sweep_file.layout_in(entries)) is not None:
            layout = sweep_file.decode_layout(workflow.plan, space, stored, options)
            past = None if is_shared else sweep_file.replay(layout, stored, entries)
        preparations = _preparations(journal, () if is_shared else entries)
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
    preparations = _preparations(journal) if earlier is None else earlier
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
            layout = await lay_out_singly(workflow.plan, space, asked, options)
            if journal is not None:
                await in_thread(journal.note, layout=sweep_file.encode_layout(layout, ()))
        sweep = MultiServer(
            layout,
            servers,
            options,
            journal,
            dask=None if servers else options.get("servers"),
            prepare=lambda url: _preparations(journal, entries, url),
        )
        await sweep.resume(sweep_file.replay_attempts(len(layout), entries))
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


def _preparations(
    journal: Journal | None, entries: Sequence[Mapping[str, Any]] = (), server: str | None = None
) -> Preparations:
    """Return what an earlier process has uploaded for a sweep. New uploads and deletions are noted in its file.

    `server` is the one of several that it was uploaded to.
    """
    made = Preparations()
    for upload in sweep_file.uploads_in(entries, server):
        made.uploads.keep(*upload)
    if journal is not None:
        place = {} if server is None else {"server": server}
        made.uploads.owner = journal.path
        made.uploads.on_add = lambda *upload: journal.note(uploaded=upload, **place)
        made.uploads.on_remove = lambda names: journal.note(removed=names)
    return made
