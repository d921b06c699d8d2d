"""A server in memory that speaks InvokeAI's HTTP API and events, as far as running workflows needs it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Any, Final

import httpx

from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.results import objects_with
from invokeai_gen.core.run_values import batch_values, params_of_item
from invokeai_gen.server import background
from invokeai_gen.sweeps.space import Space
from invokeai_gen.testing.outcomes import Run, ScriptedRun, image_file, png_size, results_of

VERSION: Final = "6.14.2"
_FINAL: Final = frozenset({"completed", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class Submission:
    """What the client is about to submit, which is unknown to the HTTP API."""

    plan: WorkflowPlan
    values: WorkflowParams | Space[Any]
    """Those of a run, or of all items of a sweep."""

    def params_of(self, graph: Mapping[str, JsonValue], batch: list[dict[str, JsonValue]]) -> WorkflowParams:
        """Return the values of one item, from its graph and its batch data."""
        if isinstance(self.values, WorkflowParams):
            return params_of_item(self.plan, self.values, batch_values(batch))
        changes: dict[str, Any] = {}
        columns = self.values.columns()
        for name, (node_id, field) in self.values.bindings.items():
            node = graph["nodes"].get(node_id)
            if node is not None:  # a batch node is not in the graph
                left_out = (value for value in columns[name] if value in (None, "none", "auto"))
                changes[name] = guess_value(node[field]) if field in node else next(left_out, None)
        params: WorkflowParams = replace(self.values.params(0), **changes)
        return params_of_item(self.plan, params, batch_values(batch))


submission: ContextVar[Submission | None] = ContextVar("submission", default=None)


def _own_values() -> list[JsonValue]:
    """Return the values in the workflow that is being submitted."""
    current = submission.get()
    return [field.value for node in current.plan.nodes for field in node.fields] if current is not None else []


class FakeServer(httpx.AsyncBaseTransport):
    """Boards, images, models and the queue, in place of the network. It runs on the client's event loop."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.calls: list[str] = []
        """Method and path of each request, such as `POST /api/v1/queue/default/enqueue_batch`."""
        self.outcomes: deque[ScriptedRun] = deque()
        """How the next items end; the last one is repeated."""
        self.default = ScriptedRun()
        self.images: dict[str, tuple[bytes, dict[str, JsonValue]]] = {}
        self.boards: dict[str, str] = {}
        self.models: dict[str, dict[str, JsonValue]] = {}
        self.listeners: set[Callable[[str, dict[str, JsonValue]], None]] = set()
        self._items: dict[int, dict[str, JsonValue]] = {}
        self._plans: dict[int, WorkflowPlan | None] = {}
        self._ids = itertools.count(1)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer to a request: JSON, or the file of an image."""
        method, path = request.method, request.url.path
        self.calls.append(f"{method} {path}")
        await request.aread()
        for verb, pattern, route in _ROUTES:
            if verb == method and (match := re.fullmatch(pattern, path)):
                try:
                    content = await route(self, request, *match.groups())
                except KeyError as error:
                    return httpx.Response(404, json={"detail": f"{error} not found"})
                if isinstance(content, bytes):
                    return httpx.Response(200, content=content, headers={"content-type": "image/png"})
                return httpx.Response(200, json=content)
        return httpx.Response(501, json={"detail": f"the fake server of invokeai_gen.testing has no {method} {path}"})

    async def _enqueue(self, request: httpx.Request) -> JsonValue:
        content = json.loads(request.content)
        batch, current, ids = content["batch"], submission.get(), []
        for values in _combinations(batch):
            item_id, graph = next(self._ids), json.loads(json.dumps(batch["graph"]))
            for entry in values:
                graph["nodes"][entry["node_path"]][entry["field_name"]] = entry["value"]
            self._items[item_id] = {
                "item_id": item_id,
                "status": "pending",
                "batch_id": batch["batch_id"],
                "session_id": str(uuid.uuid4()),
                "field_values": values or None,
                "created_at": _now(),
                "session": {"graph": graph, "results": {}, "errors": {}, "executed_history": []},
            }
            self._plans[item_id] = current.plan if current is not None else None
            params = current.params_of(graph, values) if current is not None else None
            self.runs.append(Run(params, item_id, content, graph))
            ids.append(item_id)
        background.start(self._execute(ids))
        return {"enqueued": len(ids), "requested": len(ids), "item_ids": ids[::-1], "batch": batch, "priority": 0}

    async def _item(self, _request: httpx.Request, item_id: str) -> JsonValue:
        return self._items[int(item_id)]

    async def _items_by_ids(self, request: httpx.Request) -> JsonValue:
        return [self._items[item_id] for item_id in json.loads(request.content)["item_ids"] if item_id in self._items]

    async def _item_ids(self, _request: httpx.Request) -> JsonValue:
        return {"item_ids": sorted(self._items), "total_count": len(self._items)}

    async def _counts(self, _request: httpx.Request, batch_id: str | None = None) -> JsonValue:
        found = [item["status"] for item in self._items.values() if batch_id in (None, item["batch_id"])]
        names = ("pending", "in_progress", "waiting", "completed", "failed", "canceled")
        counts = {name: found.count(name) for name in names} | {"total": len(found)}
        if batch_id is not None:
            return {"queue_id": "default", "batch_id": batch_id, **counts}
        return {"queue": {"queue_id": "default", **counts}, "processor": {"is_started": True, "is_processing": False}}

    async def _cancel(self, _request: httpx.Request, item_id: str) -> JsonValue:
        item = self._items[int(item_id)]
        if item["status"] not in _FINAL:
            await self._status(item, "canceled")
        return item

    async def _cancel_batches(self, request: httpx.Request) -> JsonValue:
        ids = json.loads(request.content)["batch_ids"]
        left = [item for item in self._items.values() if item["batch_id"] in ids and item["status"] not in _FINAL]
        for item in left:
            await self._status(item, "canceled")
        return {"canceled": len(left)}

    async def _delete_item(self, request: httpx.Request, item_id: str) -> JsonValue:
        await self._cancel(request, item_id)
        del self._items[int(item_id)]
        return {}

    async def _list_models(self, _request: httpx.Request) -> JsonValue:
        for model in objects_with("key", _own_values()):  # what the workflow itself refers to is installed
            if {"name", "base", "type"} <= model.keys() and model["key"] not in self.models:
                self.models[model["key"]] = {"hash": "", **model}
        return {"models": list(self.models.values())}

    async def _list_boards(self, _request: httpx.Request) -> JsonValue:
        for board in objects_with("board_id", _own_values()):
            self.boards.setdefault(board["board_id"], board["board_id"])
        return [{"board_id": board_id, "board_name": name} for board_id, name in self.boards.items()]

    async def _create_board(self, request: httpx.Request) -> JsonValue:
        board_id = str(uuid.uuid4())
        self.boards[board_id] = request.url.params["board_name"]
        return {"board_id": board_id, "board_name": request.url.params["board_name"]}

    async def _delete_board(self, _request: httpx.Request, board_id: str) -> JsonValue:
        del self.boards[board_id]
        return {"deleted_images": []}

    async def _board_images(self, _request: httpx.Request, board_id: str) -> JsonValue:
        return [name for name, (_, image) in self.images.items() if (image["board_id"] or "none") == board_id]

    async def _upload(self, request: httpx.Request) -> JsonValue:
        content = request.content.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        place = {key: request.url.params.get(key) for key in ("session_id", "board_id")}
        name = self.store(content, category="user", **place)
        return self.images[name][1]

    async def _image(self, _request: httpx.Request, name: str) -> JsonValue:
        own = (image["image_name"] for image in objects_with("image_name", _own_values()))
        if name not in self.images and name in own:
            self.store(None, name=name)  # what the workflow itself refers to exists
        return self.images[name][1]

    async def _image_file(self, _request: httpx.Request, name: str, _form: str) -> JsonValue:
        return self.images[name][0]

    async def _no_metadata(self, _request: httpx.Request, name: str) -> JsonValue:
        return self.images[name] and None

    async def _delete_images(self, request: httpx.Request) -> JsonValue:
        names = [name for name in json.loads(request.content)["image_names"] if self.images.pop(name, None)]
        return {"deleted_images": names, "affected_boards": []}

    async def _version(self, _request: httpx.Request) -> JsonValue:
        return {"version": VERSION}

    async def _config(self, _request: httpx.Request) -> JsonValue:
        return {"config": {"max_queue_size": 10_000}}

    # -- images --------------------------------------------------------------------------------------------------------

    def store(
        self,
        content: Any,
        *,
        name: str | None = None,
        session_id: str | None = None,
        category: str = "general",
        board_id: str | None = None,
    ) -> str:
        """Keep an image, and return its name."""
        data = image_file(content)
        width, height = png_size(data) or (0, 0)
        name = name or f"{uuid.uuid4()}.png"
        image = {"image_name": name, "width": width, "height": height, "image_category": category}
        image |= {"is_intermediate": False, "starred": False, "session_id": session_id, "board_id": board_id}
        self.images[name] = data, image
        return name

    # -- running -------------------------------------------------------------------------------------------------------

    async def _execute(self, item_ids: list[int]) -> None:
        """Run items one after another, as scripted."""
        for item_id in item_ids:
            item = self._items.get(item_id)
            if item is not None and item["status"] == "pending":
                plan = self._plans[item_id]
                outcome = _checked(self.outcomes.popleft(), plan) if self.outcomes else self.default
                self.default = outcome if not self.outcomes else self.default
                await self._run(item, outcome, plan)

    async def _run(self, item: dict[str, JsonValue], outcome: ScriptedRun, plan: WorkflowPlan | None) -> None:
        item["started_at"] = _now()
        await self._status(item, "in_progress")
        session = item["session"]
        outputs = {output.node_id: output for output in plan.outputs} if plan is not None else {}
        labels = {node.id: node.label for node in plan.nodes} if plan is not None else {}
        nodes = session["graph"]["nodes"]
        sources: dict[str, str] = {}
        paths: dict[str, list[int]] = {}
        session["prepared_source_mapping"], session["prepared_iteration_paths"] = sources, paths

        def store(value: Any) -> tuple[str, int, int]:
            name = self.store(value, session_id=item["session_id"])
            return name, self.images[name][1]["width"], self.images[name][1]["height"]

        for node_id in _in_order(session["graph"]):
            output, node = outputs.get(node_id), nodes[node_id]
            made: list[JsonValue] = [{"type": f"{node['type']}_output"}]
            if output is not None:
                made = [*results_of(output, outcome.outputs.get(output.name or node_id), store)]
            for place, result in enumerate(made):
                prepared = str(uuid.uuid4())
                sources[prepared] = node_id
                if output is not None and output.is_iterated:
                    paths[prepared] = [place]
                event = _node_event(item, node_id, prepared, node["type"])
                await self._emit("invocation_started", event)
                for share in outcome.progress:
                    await self._emit(
                        "invocation_progress", {**event, "message": "", "percentage": share, "image": None}
                    )
                if outcome.hangs or item["status"] in _FINAL:
                    return
                if outcome.error is not None and outcome.error[2] in (None, labels.get(node_id), node_id):
                    await self._fail(item, event, prepared, *outcome.error[:2])
                    return
                session["results"][prepared] = result
                session["executed_history"].append(node_id)
                await self._emit("invocation_complete", {**event, "result": result})
        if item["status"] not in _FINAL:
            await self._status(item, "completed")

    async def _fail(
        self, item: dict[str, JsonValue], event: dict[str, JsonValue], prepared: str, kind: str, message: str
    ) -> None:
        error = {"error_type": kind, "error_message": message, "error_traceback": f"{kind}: {message}"}
        item["session"]["errors"][prepared] = error["error_traceback"]
        item |= error
        await self._status(item, "failed")
        await self._emit("invocation_error", {**event, **error})

    async def _status(self, item: dict[str, JsonValue], status: str) -> None:
        item["status"] = status
        if status in _FINAL:
            item["completed_at"] = _now()
        await self._emit("queue_item_status_changed", {key: item[key] for key in item if key != "session"})

    async def _emit(self, name: str, data: dict[str, JsonValue]) -> None:
        for listener in [*self.listeners]:
            listener(name, data)
        await asyncio.sleep(0)


def _checked(outcome: ScriptedRun, plan: WorkflowPlan | None) -> ScriptedRun:
    """Return the script of a run, or one that fails if it names an output or a node that the workflow does not have."""
    if plan is None:
        return outcome
    names = [output.name or output.node_id for output in plan.outputs]
    labels = [node.label or node.id for node in plan.nodes]
    node = outcome.error[2] if outcome.error is not None else None
    wrong = [f"output {name!r}; it has {', '.join(names) or 'none'}" for name in outcome.outputs if name not in names]
    if node is not None and node not in labels and node not in {each.id for each in plan.nodes}:
        wrong.append(f"node {node!r}; it has {', '.join(labels)}")
    return ScriptedRun(error=("ScriptError", f"the workflow has no {wrong[0]}", None)) if wrong else outcome


def _combinations(batch: Mapping[str, JsonValue]) -> Iterator[list[dict[str, JsonValue]]]:
    """Yield the batch data of each item, in the order in which InvokeAI runs them."""
    axes: list[list[tuple[dict[str, JsonValue], ...]]] = []
    for zipped in batch.get("data") or ():
        columns = [
            [{"node_path": one["node_path"], "field_name": one["field_name"], "value": value} for value in one["items"]]
            for one in zipped
        ]
        axes.append([*zip(*columns, strict=True)])
    for _ in range(batch.get("runs", 1)):
        for combination in itertools.product(*axes):
            yield [*itertools.chain(*combination)]


def _in_order(graph: Mapping[str, JsonValue]) -> list[str]:
    """Return the nodes, each after those that feed it."""
    before: dict[str, set[str]] = {node_id: set() for node_id in graph["nodes"]}
    for edge in graph["edges"]:
        before[edge["destination"]["node_id"]].add(edge["source"]["node_id"])
    return [*TopologicalSorter(before).static_order()]


def _node_event(item: Mapping[str, JsonValue], node_id: str, prepared: str, node_type: str) -> dict[str, JsonValue]:
    ids = {key: item[key] for key in ("item_id", "batch_id", "session_id")}
    node = {"invocation": {"id": prepared, "type": node_type}, "invocation_source_id": node_id}
    return {"queue_id": "default", **ids, **node}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


_QUEUE: Final = "/api/v1/queue/default"
_IMAGE: Final = "/api/v1/images/i/([^/]+)"
_ROUTES: Final[tuple[tuple[str, str, Callable[..., Any]], ...]] = (
    ("POST", f"{_QUEUE}/enqueue_batch", FakeServer._enqueue),
    ("GET", rf"{_QUEUE}/i/(\d+)", FakeServer._item),
    ("DELETE", rf"{_QUEUE}/i/(\d+)", FakeServer._delete_item),
    ("PUT", rf"{_QUEUE}/i/(\d+)/cancel", FakeServer._cancel),
    ("PUT", f"{_QUEUE}/cancel_by_batch_ids", FakeServer._cancel_batches),
    ("GET", f"{_QUEUE}/b/([^/]+)/status", FakeServer._counts),
    ("GET", f"{_QUEUE}/status", FakeServer._counts),
    ("GET", f"{_QUEUE}/item_ids", FakeServer._item_ids),
    ("POST", f"{_QUEUE}/items_by_ids", FakeServer._items_by_ids),
    ("POST", f"{_QUEUE}/item_summaries_by_ids", FakeServer._items_by_ids),
    ("GET", "/api/v2/models/", FakeServer._list_models),
    ("GET", "/api/v1/boards/", FakeServer._list_boards),
    ("POST", "/api/v1/boards/", FakeServer._create_board),
    ("DELETE", "/api/v1/boards/([^/]+)", FakeServer._delete_board),
    ("GET", "/api/v1/boards/([^/]+)/image_names", FakeServer._board_images),
    ("POST", "/api/v1/images/upload", FakeServer._upload),
    ("POST", "/api/v1/images/delete", FakeServer._delete_images),
    ("GET", _IMAGE, FakeServer._image),
    ("GET", f"{_IMAGE}/metadata", FakeServer._no_metadata),
    ("GET", f"{_IMAGE}/(full|thumbnail)", FakeServer._image_file),
    ("GET", "/api/v1/app/version", FakeServer._version),
    ("GET", "/api/v1/app/runtime_config", FakeServer._config),
)
