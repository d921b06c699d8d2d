"""Starting a sweep from its arguments, or from its file.

The walk: `SweepStarter.start` → `_OneServer.start` → values resolved and laid out (`layout`) → noted in the sweep file → `Dispatcher.send` (`dispatch`).
Over several servers: `start` → `MultiServer.begin` (`multi_server`).
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
from invokeai_gen.sweeps.batching import Layout, ResolvedValues, blocks_of, check_size
from invokeai_gen.sweeps.coordinator import coordinate
from invokeai_gen.sweeps.dispatch import Dispatcher
from invokeai_gen.sweeps.dynamic_prompts import expand
from invokeai_gen.sweeps.journal import Journal, SweepFileError
from invokeai_gen.sweeps.layout import lay_out, own_groups, resolve_values
from invokeai_gen.sweeps.multi_server import MultiServer
from invokeai_gen.sweeps.options import CollectOptions, SweepOptions
from invokeai_gen.sweeps.space import Space, space_of
from invokeai_gen.sweeps.sweep_file import ReplayedState
from invokeai_gen.texts import shortened, shown

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)


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
        return await bridge(_OneServer(self, space, client, options, journal, _preparations(journal)).start())

    async def resume(self, file: Path, client: AnyClient | None, given: CollectOptions) -> AsyncSweep[P, O]:
        """Resume the sweep of a file: nothing that was sent or uploaded is sent or uploaded again.

        Raise `SweepFileError` for a file that is damaged, or of another workflow or server, before anything is sent.
        """
        client = core_of(client)
        check_options(given, CollectOptions.__annotations__)
        journal, entries = await in_thread(Journal.open, file)
        layout, past = None, None
        try:
            space, kept = sweep_file.read_header(file, entries[0], self.plan, self.params_type)
            options = cast("SweepOptions", {**given, **kept})
            check_options(options, SweepOptions.__annotations__)
            several = _servers(given.get("servers") or entries[0].get("servers"))
            preparations = Preparations()
            if several is not None and "server" in entries[0] and len(several.clients) == 1:
                (client,), several = several.clients, None
            if several is None or "server" in entries[0]:
                preparations = _preparations(journal, entries)
                sweep_file.check_server(file, entries[0], None if several else client.url)
                if (stored := sweep_file.layout_in(entries)) is not None:
                    layout = sweep_file.decode_layout(space, stored, options)
                    past = sweep_file.replay(space, layout, stored, entries)
        except (ParamsError, SweepFileError):
            journal.close()
            raise
        except sweep_file.DAMAGE as error:
            journal.close()
            raise SweepFileError(
                f"{file} is damaged, or is not a sweep file of this workflow: {shortened(repr(error))}"
            ) from error
        if several is not None:
            return await bridge(self._start_on_several(space, several, options, journal, entries))
        one = _OneServer(self, space, client, options, journal, preparations)
        if layout is None or past is None:  # the process died before anything was sent
            return await bridge(one.start(is_resumed=True))
        return await bridge(one.go_on(layout, past))

    async def _start_on_several(
        self,
        space: Space[P],
        servers: Servers,
        options: SweepOptions,
        journal: Journal | None,
        entries: Sequence[Mapping[str, Any]] = (),
    ) -> AsyncSweep[P, O]:
        try:
            if importlib.util.find_spec("distributed") is None:
                raise MissingExtraError("several servers need", "dask", "servers")
            stored = sweep_file.layout_in(entries)
            if stored is None:
                groups = await own_groups(self.plan, space, (servers.clients or [shared_client()])[0])
                check_size(groups, options.get("runs", 1))
                if journal is not None:
                    layout = Layout(groups, frozenset(), options.get("runs", 1), prepend=False)
                    journal.note(layout=sweep_file.encode_layout(layout, ()))
            else:
                groups = [*sweep_file.decode_layout(space, stored, options).groups]
            sweep = MultiServer(
                self.plan,
                servers.clients,
                space,
                groups,
                options,
                journal,
                servers.dask,
                prepare=lambda url: _preparations(journal, entries, url),
                coordinate=coordinate,
            )
            await sweep.resume(sweep_file.replay_attempts(len(sweep.tally.statuses), entries))
        except BaseException as error:
            if journal is not None:
                journal.close() if entries else journal.discard()
            if entries and isinstance(error, sweep_file.DAMAGE) and not isinstance(error, ParamsError):
                raise SweepFileError(f"{journal and journal.path} is damaged: {error!r}") from error
            raise
        return AsyncSweep(sweep, self.outputs, options)


@dataclass(frozen=True, slots=True)
class _OneServer(Generic[P, O]):
    """A sweep on one server, before it is started on the background loop."""

    starter: SweepStarter[P, O]
    space: Space[P]
    client: AsyncInvokeAIClient
    options: SweepOptions
    journal: Journal | None
    preparations: Preparations

    async def start(self, *, is_resumed: bool = False) -> AsyncSweep[P, O]:
        """Send the first items; if that fails, undo everything unless something may have been sent."""
        journal, client, space = self.journal, self.client, self.space
        is_sent = False
        try:
            resolved = await self._resolve(self.preparations)
            layout = await lay_out(self.starter.plan, space, client, self.options, resolved)
            dispatcher = self._dispatcher(layout, resolved)
            total = len(dispatcher.numbering.cells)
            limit = DEFAULT_CAPACITY if total <= DEFAULT_CAPACITY else await client.queue.capacity()
            blocks = blocks_of(space, layout.groups, layout.runs, limit)
            if journal is not None:
                journal.note(layout=sweep_file.encode_layout(layout, blocks))
            try:
                await dispatcher.send(blocks)
            except BaseException as error:
                is_sent = dispatcher.may_have_sent
                if journal is None or isinstance(error, asyncio.CancelledError):
                    await dispatcher.cancel_quietly()
                await dispatcher.close()
                raise
        except BaseException as error:
            if journal is not None and (is_sent or is_resumed):
                journal.close()
                if is_sent:
                    error.add_note(f"the sweep can be resumed from {journal.path}, which has what was sent")
                raise
            await self.preparations.undo(client, error)
            if journal is not None:
                journal.discard()
            raise
        return AsyncSweep(dispatcher, self.starter.outputs, self.options)

    async def go_on(self, layout: Layout, past: ReplayedState) -> AsyncSweep[P, O]:
        """Continue what another process has sent."""
        dispatcher = self._dispatcher(layout)
        try:
            await dispatcher.resume(past)
        except BaseException:
            await dispatcher.close()
            raise
        return AsyncSweep(dispatcher, self.starter.outputs, self.options)

    async def _resolve(self, preparations: Preparations) -> ResolvedValues:
        return await resolve_values(self.starter.plan, self.space, self.client, self.options, preparations)

    def _dispatcher(self, layout: Layout, resolved: ResolvedValues | None = None) -> Dispatcher:
        async def resolve() -> ResolvedValues:
            if resolved is not None:
                return resolved
            more = self.preparations.branch()  # undoing these must not delete what was made before
            found = await self._resolve(more)
            self.preparations.add(more)
            return found

        retries = self.options.get("retries", 0)
        plan, preparations = self.starter.plan, self.preparations
        return Dispatcher(plan, self.client, self.space, layout, resolve, preparations, self.journal, retries)


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a sweep: their clients, or a dask cluster whose workers have one each."""

    clients: Sequence[AsyncInvokeAIClient]
    dask: Any = None


def _servers(given: Any) -> Servers | None:
    """Return the servers that `servers=` means; `None` for the one of `client=`. Raise `ParamsError` for anything else."""
    if given is None:
        return None
    if hasattr(given, "scheduler_info"):
        return Servers((), given)
    if isinstance(given, str) or not isinstance(given, Iterable) or not given:
        wanted = "a list of addresses, or a dask.distributed Client"
        raise ParamsError([Problem("servers", f"servers is {shown(given)}, but should be {wanted}")])
    clients = [shared_client(one) if isinstance(one, str) else core_of(one) for one in given]
    return Servers([*{client.url: client for client in clients}.values()])


def _preparations(
    journal: Journal | None, entries: Sequence[Mapping[str, Any]] = (), server: str | None = None
) -> Preparations:
    """Return what an earlier process has uploaded for a sweep. New uploads and deletions are noted in its file.

    `server` is the one of several that it was uploaded to.
    """
    made = Preparations()
    for kind, digest, name in sweep_file.uploads_in(entries, server):
        made.uploads.add(kind, digest, name)
    if journal is not None:
        place = {} if server is None else {"server": server}
        made.uploads.owner = journal.path
        made.uploads.on_add = lambda *upload: journal.note(uploaded=upload, **place)
        made.uploads.on_remove = lambda names: journal.note(removed=names)
    return made
