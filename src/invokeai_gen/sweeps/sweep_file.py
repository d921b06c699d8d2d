"""The contents of a sweep file: values, layout, and progress of a sweep. `Journal` reads and writes the file.

A sweep file may have been edited, damaged or made by somebody else: everything is checked before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

from invokeai_gen.core import problems
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.params_json import read_input
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.server.uploads import MediaKind
from invokeai_gen.sweeps.batching import Block, Cell, Group, Layout
from invokeai_gen.sweeps.journal import Journal, SweepFileError, entries_of
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.space import Axis, Space
from invokeai_gen.texts import shortened, shown

P = TypeVar("P", bound=WorkflowParams)

_KEPT_OPTIONS: Final = ("runs", "auto_board", "create_boards", "resolve_models", "upload", "prepend", "retries")
"""The options that a sweep file keeps; the others are about waiting, and given anew to `resume_sweep`."""
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
DAMAGE: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What reading a damaged file can raise."""


@dataclass(frozen=True, slots=True)
class ReplayedState:
    """The progress of a sweep according to its file."""

    blocks: Sequence[Block]
    sent: Mapping[str, Sequence[int]]
    """The queue items of each batch that is known to have been sent."""
    sending: frozenset[str]
    """Batches that may have been sent."""
    withdrawn: frozenset[str]
    """Batches that were canceled before they were sent."""


def header_of(
    plan: WorkflowPlan, space: Space[Any], server: str, options: SweepOptions, *, servers: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the first entry of a sweep file. Raise `ParamsError` for images in memory, which a file cannot hold."""
    info = plan.info

    def stored(name: str, value: Any) -> JsonValue:
        try:
            return to_json(value)
        except TypeError as error:
            rest = f": {error}; a sweep file needs the path of a file"
            raise ParamsError([problems.about(space.params_type.__inputs__[name], rest)]) from None

    return {
        "workflow": {"name": info.name, "source": info.source, "sha256": info.sha256, "content": content_hash(plan)},
        **({"server": server} if servers is None else {"servers": [*servers]}),
        "options": {name: to_json(value) for name, value in options.items() if name in _KEPT_OPTIONS},
        "base": None if space.base is None else space.base.to_dict(),
        "axes": [
            {
                "names": axis.names,
                "rows": [[stored(*pair) for pair in zip(axis.names, row, strict=True)] for row in axis.rows],
            }
            for axis in space.axes
        ],
    }


def read_header(
    path: object, header: Mapping[str, Any], plan: WorkflowPlan, params_type: type[P]
) -> tuple[Space[P], dict[str, Any]]:
    """Return the space and the options of a sweep from its file.

    Raise `SweepFileError` for a sweep of another workflow, and `DAMAGE` or `ParamsError` for a file that was changed.
    """
    info, workflow = plan.info, header["workflow"]
    if workflow["sha256"] != info.sha256 and workflow.get("content") != content_hash(plan):
        raise SweepFileError(
            f"{path} is a sweep of {shown(workflow['name'])} ({shown(workflow['source'])}), not of "
            f"this version of {shown(info.name)}: the workflow has changed since, or is another one"
        )

    def restored(name: str, value: JsonValue) -> Any:
        return params_type._checked(name, read_input(params_type, name, value))

    axes = [
        Axis(
            tuple(axis["names"]),
            tuple(tuple(restored(*pair) for pair in zip(axis["names"], row, strict=True)) for row in axis["rows"]),
        )
        for axis in header["axes"]
    ]
    base = None if header["base"] is None else params_type.from_dict(header["base"])
    space = Space(params_type, base, axes)
    space.params(0)
    options = {name: guess_value(value) for name, value in header["options"].items()}
    if unknown := [*{*options}.difference(_KEPT_OPTIONS)]:
        raise ValueError(f"unknown option {unknown[0]!r}")
    return space, options


def raise_for_damage(path: object, error: BaseException) -> None:
    """Raise `SweepFileError` if an error is one that reading a damaged file raises."""
    if isinstance(error, DAMAGE) and not isinstance(error, InvokeAIGenError):
        what = "is damaged, or is not a sweep file of this workflow"
        raise SweepFileError(f"{path} {what}: {shortened(repr(error))}") from error


def check_server(path: object, header: Mapping[str, Any], url: str | None) -> None:
    """Raise `SweepFileError` for a sweep on another server; `url` is `None` for several."""
    if url is None or not same_server(header["server"], url):
        other = "several" if url is None else url
        raise SweepFileError(f"{path} is a sweep on {shown(header['server'])}, not on {other}: name that server")


def content_hash(plan: WorkflowPlan) -> str:
    """Return a hash of what a workflow computes and which inputs it has, whatever its JSON looks like."""
    whole = plan.to_dict()
    parts = {key: whole.get(key) for key in ("nodes", "edges", "batches")}
    inputs = [[planned.name, *planned.binding] for planned in plan.inputs]
    text = json.dumps([parts, inputs], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def same_server(one: str, other: str) -> bool:
    """Return whether two addresses mean the same server; all names of this machine are the same."""
    return _address(one) == _address(other)


def _address(url: str) -> tuple[object, ...]:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, "localhost" if host in _LOCAL else host, port, parts.path.rstrip("/")


def encode_layout(layout: Layout, blocks: Sequence[Block]) -> dict[str, JsonValue]:
    """Return a layout as JSON."""
    return {
        "groups": [{"rows": group.selection, "own": group.own} for group in layout.groups],
        "batchable": sorted(layout.batchable),
        "blocks": [encode_block(layout, block) for block in blocks],
    }


def encode_block(layout: Layout, block: Block) -> dict[str, JsonValue]:
    """Return a block as JSON."""
    cells = None if block.is_whole else [[*layout.cells[index]] for index in block.items]
    return {"id": block.batch_id, "group": block.group, "cells": cells}


def decode_layout(
    plan: WorkflowPlan, space: Space[Any], stored: Mapping[str, Any], options: Mapping[str, Any]
) -> Layout:
    """Return the layout in a file. Raise `DAMAGE` if it does not cover each point of the space once."""
    runs = _integer(options.get("runs", 1), 1)
    groups = [Group(tuple(map(tuple, group["rows"])), _own_data(group["own"])) for group in stored["groups"]]
    for group in groups:
        for axis, rows in zip(space.axes, group.selection, strict=True):
            if any(_integer(row) >= len(axis.rows) for row in rows) or len({*rows}) < len(rows):
                raise ValueError("a group names a value that its axis does not have")
    if sum(group.size // group.combinations for group in groups) != len(space):
        raise ValueError("its groups are not the points of its axes")
    if not {*stored["batchable"]} <= {*space.names}:
        raise ValueError("it sends values that do not vary")
    batchable, prepend = frozenset(stored["batchable"]), bool(options.get("prepend", False))
    return Layout(plan, space, groups, batchable, runs, prepend=prepend)


def _own_data(data: Any) -> Any:
    """Return the batch data of a group if it has the shape of such data."""
    for entry in data:
        if not entry or len({len(column["items"]) for column in entry}) != 1 or not entry[0]["items"]:
            raise ValueError("the lists of a batch differ in length")
        for column in entry:
            if not all(isinstance(column[key], str) for key in ("node_path", "field_name")):
                raise ValueError("batch data names no field")
    return data


def replay(layout: Layout, stored: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> ReplayedState:
    """Return the progress that the entries of a file describe. Raise `DAMAGE` for impossible entries."""
    index_of = {cell: index for index, cell in enumerate(layout.cells)}

    def block(entry: Mapping[str, Any]) -> Block:
        group, cells, batch_id = _integer(entry["group"]), entry["cells"], _text(entry["id"])
        if cells is None:
            return replace(layout.whole(group), batch_id=batch_id)
        items = tuple(index_of[Cell(*map(_integer, cell))] for cell in cells)
        if {*map(layout.group_of, items)} != {group}:
            raise ValueError("a block has items that its group does not have")
        return Block(group, items, batch_id=batch_id)

    first = [block(entry) for entry in stored["blocks"]]
    if sorted(index for one in first for index in one.items) != [*range(len(layout))]:
        raise ValueError("its blocks are not the items of the sweep")
    blocks = {one.batch_id: one for one in first}
    sent: dict[str, list[int]] = {}
    sending: set[str] = set()
    withdrawn: set[str] = set()
    for entry in entries:
        if "split" in entry:
            if not 0 < _integer(entry["size"]) < len(blocks[entry["split"]].items):
                raise ValueError("a block is split into nothing")
            head, rest = blocks[entry["split"]].split(entry["size"])
            blocks |= {head.batch_id: head, _text(entry["rest"]): replace(rest, batch_id=entry["rest"])}
        elif "block" in entry:
            blocks[_text(entry["block"]["id"])] = block(entry["block"])
        elif "sending" in entry:
            sending.add(blocks[entry["sending"]].batch_id)
        elif "sent" in entry:
            items = [_integer(item) for item in entry["items"]]
            if len(items) != len(blocks[entry["sent"]].items):
                raise ValueError("a batch has another number of queue items than items")
            sent[entry["sent"]] = items
        elif "withdrawn" in entry:
            withdrawn.update(blocks[batch_id].batch_id for batch_id in entry["withdrawn"])
    return ReplayedState([*blocks.values()], sent, frozenset(sending.difference(sent)), frozenset(withdrawn))


def preparations_in(
    journal: Journal | None, entries: Sequence[Mapping[str, Any]] = (), server: str | None = None
) -> Preparations:
    """Return what was uploaded for a sweep and not deleted since. New uploads and deletions are noted in its file.

    `server` is the one of several that it was uploaded to.
    """
    made = Preparations()
    removed = {_text(name) for names in entries_of(entries, "removed") for name in names}
    for entry in entries[1:]:
        if "uploaded" not in entry:
            continue
        kind, digest, name = entry["uploaded"]
        if kind not in get_args(MediaKind):
            raise ValueError(f"{kind!r} cannot be uploaded")
        if _text(name) not in removed and (server is None or same_server(_text(entry["server"]), server)):
            made.uploads.keep(kind, _text(digest), name)
    if journal is not None:
        place = {} if server is None else {"server": server}
        made.uploads.owner = journal.path
        made.uploads.on_add = lambda *upload: journal.note(uploaded=upload, **place)
        made.uploads.on_remove = lambda names: journal.note(removed=names)
    return made


def _integer(value: Any, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} should be a whole number of {least} or more")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} should be a text")
    return value


@dataclass(frozen=True, slots=True)
class ServerAttempt:
    """Where an item of a sweep over several servers was sent, according to its file."""

    batch_id: str
    server: str
    """Empty, as `batch_id`, if the item was canceled before it was sent."""
    item_id: int | None = None
    status: str = ""
    """Its final status; empty if it is not known to have ended."""


def replay_attempts(total: int, entries: Sequence[Mapping[str, Any]]) -> dict[int, ServerAttempt]:
    """Return the last attempt of each item of a sweep over several servers. Raise `DAMAGE` for impossible entries."""
    found: dict[int, ServerAttempt] = {}
    index_of: dict[str, int] = {}
    for entry in entries[1:]:
        if "sending" in entry:
            index = _integer(entry["index"])
            index_of[_text(entry["sending"])] = index
            found[index] = ServerAttempt(entry["sending"], _text(entry["server"]))
        elif "ended" in entry:
            index = index_of[entry["ended"]]
            if entry.get("item") is None:  # it was to be sent again
                del found[index]
            else:
                found[index] = replace(found[index], item_id=_integer(entry["item"]), status=_text(entry["status"]))
        elif "withdrawn" in entry:
            found |= {_integer(index): ServerAttempt("", "", status="canceled") for index in entry["withdrawn"]}
    if any(index >= total for index in found):
        raise ValueError("it has an item that the sweep does not have")
    return found
