"""Starting a sweep from its arguments, or from its file.

The walk of a sweep to its POST: `SweepStarter.sweep` → `start` → `_start_on_one` → values resolved and laid out
(`layout`) → noted in the sweep file → `Dispatcher.send` (`dispatch`). Over several servers: `start` →
`_start_on_several` → `MultiServer.begin` (`multi_server`).
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.errors import MissingExtraError
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import check_options
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.runner import AnyClient
from invokeai_gen.server.background import bridge, in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of, shared_client
from invokeai_gen.server.constants import DEFAULT_CAPACITY
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


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a sweep over several: their clients, or a dask cluster whose workers have one each."""

    clients: Sequence[AsyncInvokeAIClient]
    dask: Any = None


@dataclass(frozen=True, slots=True)
class SweepStarter(Generic[P, O]):
    """Starts and resumes sweeps of one workflow."""

    plan: WorkflowPlan
    params_type: type[P]
    outputs: type[O]

    async def sweep(
        self,
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
            self.params_type,
            base,
            product=await expand(product, core),
            zipped=await expand(zipped, core),
            rows=rows,
            replacements=options.get("replace"),
        )
        return await self.start(space, core, options)

    async def start(self, space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions) -> AsyncSweep[P, O]:
        """Submit a sweep; return when its first items are in the queue."""
        check_options(options, SweepOptions.__annotations__)
        servers = _servers(options.get("servers"))
        file, journal = options.get("file"), None
        if file is not None:
            urls = None if servers is None else [one.url for one in servers.clients]
            header = sweep_file.header_of(self.plan, space, client.url, options, servers=urls)
            journal = await in_thread(Journal.create, Path(file), header)
        if servers is not None:
            return await bridge(self._start_on_several(space, servers, options, journal))
        return await bridge(self._start_on_one(space, client, options, journal))

    async def resume(self, file: Path, client: AnyClient | None, given: CollectOptions) -> AsyncSweep[P, O]:
        """Resume the sweep of a file: nothing that was sent or uploaded is sent or uploaded again.

        Raise `SweepFileError` for a file that is damaged, or of another workflow or server, before anything is sent.
        """
        client = core_of(client)
        check_options(given, CollectOptions.__annotations__)
        journal, entries = await in_thread(Journal.open, file)
        header, layout, past = entries[0], None, None
        try:
            space, kept = sweep_file.read_header(file, header, self.plan, self.params_type)
            options = cast("SweepOptions", {**given, **kept})
            check_options(options, SweepOptions.__annotations__)
            several = _servers(given.get("servers") or header.get("servers"))
            if several is not None and "server" in header and len(several.clients) == 1:
                (client,), several = several.clients, None
            if several is None or "server" in header:
                sweep_file.check_server(file, header, None if several else client.url)
            if (stored := sweep_file.layout_in(entries)) is not None:
                layout = sweep_file.decode_layout(self.plan, space, stored, options)
                past = None if several else sweep_file.replay(layout, stored, entries)
            preparations = _preparations(journal, () if several else entries)
        except BaseException as error:
            journal.close()
            sweep_file.raise_for_damage(file, error)
            raise
        if several is not None:
            return await bridge(self._start_on_several(space, several, options, journal, layout, entries))
        return await bridge(self._start_on_one(space, client, options, journal, preparations, layout, past))

    async def _start_on_one(
        self,
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
                resolved = await resolve_values(self.plan, space, client, options, preparations)
                layout = await lay_out(self.plan, space, client, options, resolved)
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
        return AsyncSweep(dispatcher, self.outputs, options)

    async def _start_on_several(
        self,
        space: Space[P],
        servers: Servers,
        options: SweepOptions,
        journal: Journal | None,
        layout: Layout | None = None,
        entries: Sequence[Mapping[str, Any]] = (),
    ) -> AsyncSweep[P, O]:
        try:
            if importlib.util.find_spec("distributed") is None:
                raise MissingExtraError("several servers need", "dask", "servers")
            if layout is None:
                asked = (servers.clients or [shared_client()])[0]
                layout = await lay_out_singly(self.plan, space, asked, options)
                if journal is not None:
                    await in_thread(journal.note, layout=sweep_file.encode_layout(layout, ()))
            sweep = MultiServer(
                layout,
                servers.clients,
                options,
                journal,
                dask=servers.dask,
                prepare=lambda url: _preparations(journal, entries, url),
            )
            await sweep.resume(sweep_file.replay_attempts(len(layout), entries))
        except BaseException as error:
            if journal is not None:
                journal.close() if entries else journal.discard()
                if entries:
                    sweep_file.raise_for_damage(journal.path, error)
            raise
        return AsyncSweep(sweep, self.outputs, options)


def _servers(given: Any) -> Servers | None:
    """Return the servers that `servers=` means; `None` for the one of `client=`. Raise `ParamsError` for anything else."""
    if given is None:
        return None
    if hasattr(given, "scheduler_info"):
        return Servers((), given)
    if isinstance(given, str) or not isinstance(given, Iterable) or not given:
        wanted = "a list of addresses, or a dask.distributed Client"
        raise ParamsError([Problem("servers", f"servers is {shown(given)}, but should be {wanted}")])
    return Servers([*{client.url: client for client in map(named_client, given)}.values()])


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
