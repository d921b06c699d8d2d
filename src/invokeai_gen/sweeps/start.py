"""From the arguments of a sweep, or from its file, to the sweep itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic_core import ValidationError

from invokeai_gen.core import problems
from invokeai_gen.core.batch import Binding
from invokeai_gen.core.field_values import batch_item_validator
from invokeai_gen.core.json_values import guess_value, to_json
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.params_json import read_input
from invokeai_gen.core.plan import FieldLimits, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import CollectOptions, SweepOptions, check_options
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.resolve import resolve_board, resolve_columns
from invokeai_gen.runtime.runner import own_batches
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient, ServerClient, core_of, shared_client
from invokeai_gen.server.constants import DEFAULT_CAPACITY
from invokeai_gen.sweeps.async_sweep import AsyncSweep
from invokeai_gen.sweeps.batching import (
    Block,
    Cell,
    Group,
    Layout,
    ResolvedValues,
    blocks_of,
    check_size,
    graph_values,
    group_cells,
    is_batchable,
    selections,
)
from invokeai_gen.sweeps.dispatch import Dispatcher, ReplayedState, encode
from invokeai_gen.sweeps.journal import Journal, SweepFileError, entries_of
from invokeai_gen.sweeps.multi_server import MultiServer
from invokeai_gen.sweeps.space import Axis, Space
from invokeai_gen.sweeps.state import SweepState

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)

_REMEMBERED = ("runs", "auto_board", "create_boards", "resolve_models", "prepend")
"""The options that a sweep file keeps; the others are those of whoever waits."""


@dataclass(frozen=True, slots=True)
class SweepStarter(Generic[P, O]):
    """Starts sweeps of the workflow of a plan; what stands behind the methods of `Workflow`."""

    plan: WorkflowPlan
    params_type: type[P]
    outputs: type[O]

    async def start(self, space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions) -> AsyncSweep[P, O]:
        """Submits a sweep, and returns when the first items are in the queue."""
        check_options(options, SweepOptions.__annotations__)
        if options.get("servers") is not None:
            return await bridge(self._spread(space, options))
        file = options.get("file")
        journal = None if file is None else Journal.create(Path(file), self._header(space, client, options))
        return await bridge(self._begin(space, client, options, journal, _preparations(journal)))

    async def resume(self, file: Path, client: AsyncInvokeAIClient, given: CollectOptions) -> AsyncSweep[P, O]:
        """Goes on with the sweep of a file: nothing that was sent is sent again, and nothing uploaded again."""
        check_options(given, CollectOptions.__annotations__)
        journal, entries = Journal.open(file)
        try:
            space, options = self._remembered(journal, entries[0], client, given)
            preparations = _preparations(journal, entries)
            layout = next(entries_of(entries, "layout"), None)
            past = None if layout is None else _past(space, layout, options, entries)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            journal.close()
            if isinstance(error, ParamsError):
                raise
            raise SweepFileError(f"{file} is no sweep file of this workflow: {error!r}") from error
        except BaseException:
            journal.close()
            raise
        if past is None:  # the process died before anything was sent
            return await bridge(self._begin(space, client, options, journal, preparations, is_resumed=True))
        return await bridge(self._go_on(space, client, options, journal, preparations, *past))

    # -- on the background loop ----------------------------------------------------------------------------------------

    async def _begin(
        self,
        space: Space[P],
        client: AsyncInvokeAIClient,
        options: SweepOptions,
        journal: Journal | None,
        preparations: Preparations,
        *,
        is_resumed: bool = False,
    ) -> AsyncSweep[P, O]:
        is_sent = False
        try:
            resolved = await self._resolved(space, client, options, preparations)
            layout = await self.lay_out(space, client, options, resolved)
            dispatcher = Dispatcher(self.plan, client, space, layout, _given(resolved), journal)
            total = len(dispatcher.numbering.cells)
            limit = DEFAULT_CAPACITY if total <= DEFAULT_CAPACITY else await client.queue.capacity()
            blocks = blocks_of(space, layout.groups, layout.runs, limit)
            if journal is not None:
                journal.note(layout=_encode(layout, blocks))
            try:
                await dispatcher.send(blocks)
            except BaseException as error:
                is_sent = dispatcher.may_have_sent
                if journal is None or isinstance(error, asyncio.CancelledError):
                    await dispatcher.cancel_quietly()
                await dispatcher.close()
                raise
        except BaseException as error:
            if journal is not None and is_sent:
                error.add_note(f"{journal.path} has what was sent: the sweep can be resumed from it")
                raise
            if journal is not None and is_resumed:  # it still can be
                journal.close()
                raise
            await preparations.undo(client, error)
            if journal is not None:
                journal.discard()
            raise
        return self._sweep(space, [client], options, dispatcher, {client.url: preparations})

    async def _spread(self, space: Space[P], options: SweepOptions) -> AsyncSweep[P, O]:
        """Starts a sweep over several servers."""
        clients = _clients(options.get("servers") or ())
        if options.get("file") is not None:
            raise ParamsError([Problem("file", "a sweep over several servers has no file to resume it from")])
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise ImportError("several servers take dask: pip install 'invokeai-gen[servers]'") from None
        groups = await self._own_groups(space, clients[0])
        check_size(groups, options.get("runs", 1))
        multi_server = MultiServer(self.plan, clients, space, groups, options)
        multi_server.begin(range(len(multi_server.tally.statuses)))
        return self._sweep(space, clients, options, multi_server, multi_server.preparations)

    async def _own_groups(self, space: Space[P], client: AsyncInvokeAIClient) -> list[Group]:
        """The points by the values of the workflow's own batch nodes, with their batch data."""
        executable = {node.id for node in self.plan.nodes if node.is_executable}
        columns = {
            name: [row[place] for row in axis.rows] for axis in space.axes for place, name in enumerate(axis.names)
        }
        inputs = {planned.name: planned for planned in self.plan.inputs}
        apart = frozenset(name for name in columns if inputs[name].node_id in executable)
        groups: list[Group] = []
        for selection in selections(space, columns, apart):
            values = space.params(space.point_of(rows[0] for rows in selection)).values()
            own = {binding: [value] for binding, value in values.items() if binding[0] not in executable}
            found = await resolve_columns(self.plan, own, client, Preparations())
            batches = {binding: value for binding, (value,) in found.items()}
            groups.append(Group(selection, await own_batches(self.plan, batches, client)))
        return groups

    async def _go_on(
        self,
        space: Space[P],
        client: AsyncInvokeAIClient,
        options: SweepOptions,
        journal: Journal,
        preparations: Preparations,
        layout: Layout,
        past: ReplayedState,
    ) -> AsyncSweep[P, O]:
        async def supply() -> ResolvedValues:
            more = preparations.branch()  # what goes wrong now must not delete what was made before
            resolved = await self._resolved(space, client, options, more)
            preparations.add(more)
            return resolved

        dispatcher = Dispatcher(self.plan, client, space, layout, supply, journal)
        try:
            await dispatcher.resume(past)
        except BaseException:
            await dispatcher.close()
            raise
        return self._sweep(space, [client], options, dispatcher, {client.url: preparations})

    async def _resolved(
        self, space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions, preparations: Preparations
    ) -> ResolvedValues:
        """All values as the server takes them: files uploaded, models and boards looked up."""
        bindings = {planned.name: planned.binding for planned in self.plan.inputs}
        varying = {bindings[name]: name for name in space.names}
        columns: dict[Binding, list[Any]] = {
            binding: [value] for binding, value in space.params(0).values().items() if binding not in varying
        }
        for axis in space.axes:
            for place, name in enumerate(axis.names):
                columns[bindings[name]] = [row[place] for row in axis.rows]
        order = {planned.binding: planned.index for planned in self.plan.inputs}
        found = await resolve_columns(
            self.plan,
            {binding: columns[binding] for binding in sorted(columns, key=lambda binding: order[binding])},
            client,
            preparations,
            resolve_models=options.get("resolve_models", "auto"),
            create_boards=options.get("create_boards", False),
        )
        return ResolvedValues(
            base={binding: values[0] for binding, values in found.items() if binding not in varying},
            columns={name: found[binding] for binding, name in varying.items()},
            auto_board_id=await resolve_board(client, options.get("auto_board")),
        )

    async def lay_out(
        self, space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions, resolved: ResolvedValues
    ) -> Layout:
        """How the points become enqueues. The server is asked only for what batch nodes need of it."""
        columns = resolved.columns
        inputs = [planned for planned in self.plan.inputs if planned.name in columns]
        batchable = [planned for planned in inputs if is_batchable(self.plan, planned, columns[planned.name])]
        for planned in batchable:
            _check_batch(planned, columns[planned.name])
        names = frozenset(planned.name for planned in batchable)
        groups: list[Group] = []
        for selection in selections(space, columns, names):
            values = graph_values(self.plan, space, Group(selection, []), resolved.base, columns)
            groups.append(Group(selection, await own_batches(self.plan, values, client)))
        check_size(groups, options.get("runs", 1))
        return Layout(groups, names, options.get("runs", 1), options.get("prepend", False))

    def _sweep(
        self,
        space: Space[P],
        clients: Sequence[AsyncInvokeAIClient],
        options: SweepOptions,
        dispatcher: SweepState,
        preparations: Mapping[str, Preparations],
    ) -> AsyncSweep[P, O]:
        return AsyncSweep(
            self.plan,
            clients,
            space,
            dispatcher,
            preparations,
            outputs=self.outputs,
            collects_errors=options.get("errors", "raise") == "collect",
            cancels_on_interrupt=options.get("cancel_on_interrupt", True),
            shows_progress=options.get("progress", False),
        )

    # -- the sweep file ------------------------------------------------------------------------------------------------

    def _header(self, space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions) -> dict[str, JsonValue]:
        """What a sweep file begins with. Raises `ParamsError` for images in memory, which a file cannot hold."""
        info = self.plan.info
        return {
            "workflow": {"name": info.name, "source": info.source, "sha256": info.sha256},
            "server": client.url,
            "options": {name: to_json(value) for name, value in options.items() if name in _REMEMBERED},
            "base": None if space.base is None else space.base.to_dict(),
            "axes": [
                {
                    "names": axis.names,
                    "rows": [
                        [self._stored(name, value) for name, value in zip(axis.names, row, strict=True)]
                        for row in axis.rows
                    ],
                }
                for axis in space.axes
            ],
        }

    def _stored(self, name: str, value: Any) -> JsonValue:
        try:
            return to_json(value)
        except TypeError as error:
            item = self.params_type.__inputs__[name]
            message = f"{problems.title(item)}: {error}; a sweep file takes the path of a file"
            raise ParamsError([Problem(name, message, item.label)]) from None

    def _remembered(
        self, journal: Journal, header: Mapping[str, Any], client: AsyncInvokeAIClient, given: CollectOptions
    ) -> tuple[Space[P], SweepOptions]:
        info, workflow = self.plan.info, header["workflow"]
        if workflow["sha256"] != info.sha256:
            raise SweepFileError(
                f"{journal.path} is a sweep of {problems.shown(workflow['name'])} ({workflow['source']}), and not of "
                f"this version of {problems.shown(info.name)}: the workflow has changed since, or is another one"
            )
        if header["server"] != client.url:
            raise SweepFileError(
                f"{journal.path} is a sweep on {header['server']}, but this is {client.url}: name that server"
            )
        axes = [
            Axis(
                tuple(axis["names"]),
                tuple(
                    tuple(self._restored(*pair) for pair in zip(axis["names"], row, strict=True))
                    for row in axis["rows"]
                ),
            )
            for axis in header["axes"]
        ]
        base = None if header["base"] is None else self.params_type.from_dict(header["base"])
        remembered: dict[str, Any] = {name: guess_value(value) for name, value in header["options"].items()}
        return Space(self.params_type, base, axes), cast("SweepOptions", {**given, **remembered})

    def _restored(self, name: str, stored: JsonValue) -> Any:
        return self.params_type._checked(name, read_input(self.params_type, name, stored))


def _clients(
    servers: Sequence[str | ServerClient | AsyncInvokeAIClient],
) -> list[AsyncInvokeAIClient]:
    """The clients of several servers, each once."""
    if isinstance(servers, str) or not servers:
        raise ParamsError(
            [Problem("servers", f"servers is {problems.shown(servers)}, but should be a list of addresses")]
        )
    found = [core_of(shared_client(server) if isinstance(server, str) else server) for server in servers]
    return list({one.url: one for one in found}.values())


def _given(resolved: ResolvedValues) -> Callable[[], Awaitable[ResolvedValues]]:
    async def supply() -> ResolvedValues:
        return resolved

    return supply


def _preparations(journal: Journal | None, entries: Sequence[Mapping[str, Any]] = ()) -> Preparations:
    """What has been made on the server for a sweep; what is uploaded or deleted again is noted in its file."""
    made = Preparations()
    removed = {name for names in entries_of(entries, "removed") for name in names}
    for kind, digest, name in entries_of(entries, "uploaded"):
        if name not in removed:
            made.uploads.add(kind, digest, name)
    if journal is not None:
        made.uploads.on_add = lambda *upload: journal.note(uploaded=upload)
        made.uploads.on_remove = lambda names: journal.note(removed=names)
    return made


def _check_batch(planned: PlannedInput, values: Sequence[JsonValue | Unset]) -> None:
    """Raises `ParamsError` for a value that would block the server's queue: there nobody checks it before it runs."""
    limits = FieldLimits(field_type=planned.field_type, constraints=planned.constraints, choices=planned.choices)
    validator = batch_item_validator(limits)
    if validator is None:
        return
    for place, value in enumerate(values):
        try:
            validator.validate_python(value)
        except ValidationError as error:
            target = f"{planned.node_label or planned.node_title!r} ({planned.field_name})"
            raise ParamsError([problems.unfit(planned, place, value, target, error)]) from None


def _encode(layout: Layout, blocks: Sequence[Block]) -> dict[str, JsonValue]:
    return {
        "groups": [{"rows": group.selection, "own": group.own} for group in layout.groups],
        "batchable": sorted(layout.batchable),
        "blocks": [encode(block) for block in blocks],
    }


def _decode(layout: Mapping[str, Any], options: SweepOptions) -> Layout:
    return Layout(
        groups=[Group(tuple(map(tuple, group["rows"])), group["own"]) for group in layout["groups"]],
        batchable=frozenset(layout["batchable"]),
        runs=options.get("runs", 1),
        prepend=options.get("prepend", False),
    )


def _past(
    space: Space[Any], laid_out: Mapping[str, Any], options: SweepOptions, entries: Sequence[Mapping[str, Any]]
) -> tuple[Layout, ReplayedState]:
    """How the sweep of a file is laid out, and what its entries add up to."""
    layout = _decode(laid_out, options)

    def block(entry: Mapping[str, Any]) -> Block:
        group, cells = entry["group"], entry["cells"]
        if cells is None:
            whole = tuple(group_cells(space, layout.groups[group], layout.runs))
            return Block(group, whole, is_whole=True, batch_id=entry["id"])
        return Block(group, tuple(Cell(*cell) for cell in cells), batch_id=entry["id"])

    blocks = {entry["id"]: block(entry) for entry in laid_out["blocks"]}
    sent: dict[str, list[int]] = {}
    sending: set[str] = set()
    withdrawn: set[str] = set()
    for entry in entries:
        if "split" in entry:
            first, rest = blocks[entry["split"]].split(entry["size"])
            blocks |= {first.batch_id: first, entry["rest"]: replace(rest, batch_id=entry["rest"])}
        elif "block" in entry:
            blocks[entry["block"]["id"]] = block(entry["block"])
        elif "sending" in entry:
            sending.add(entry["sending"])
        elif "sent" in entry:
            sent[entry["sent"]] = entry["items"]
        elif "withdrawn" in entry:
            withdrawn.update(entry["withdrawn"])
    return layout, ReplayedState(list(blocks.values()), sent, frozenset(sending.difference(sent)), frozenset(withdrawn))
