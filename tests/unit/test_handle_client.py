"""The client that opens workflows: where its schema comes from, and what it costs to import."""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

import invokeai_gen
from invokeai_gen import InvokeAIClient, compat, server
from invokeai_gen import handle as handles
from invokeai_gen.handle import SnapshotWarning, WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import Schema, SchemaError, shipped_schema
from invokeai_gen.server.errors import InvalidUrlError
from invokeai_gen.server.events import StatusChanged
from invokeai_gen.testing import FakeInvokeAI

SUNSET = Path(__file__).parents[2] / "data" / "workflows" / "sunset_poster.json"


class Server:
    """Gives out a schema, and counts how often it is asked for it."""

    def __init__(self, schema: Schema) -> None:
        self.document: object = schema.document
        self.asked = 0
        self.is_away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("nobody there")
        if request.url.path == "/openapi.json":
            self.asked += 1
            return httpx.Response(200, json=self.document)
        return httpx.Response(200, json={"version": "6.99.0"})

    def client(self) -> InvokeAIClient:
        return InvokeAIClient.from_url("http://invokeai.example:9090", http_backend=httpx.MockTransport(self))


def test_the_schema_is_the_servers_own_and_asked_for_once(schema: Schema) -> None:
    there = Server(schema)
    client = there.client()
    first, second = (client.create_workflow(WorkflowDefinition.from_file(SUNSET)) for _ in range(2))
    assert first.schema is second.schema
    assert (first.schema.version, first.schema.source, there.asked) == ("6.99.0", "http://invokeai.example:9090", 1)
    assert first.client is client
    assert client.schema(fresh=True) is not first.schema
    assert there.asked == 2


def test_while_the_server_is_away_the_schema_is_the_one_that_ships_and_that_is_reported(schema: Schema) -> None:
    there = Server(schema)
    there.is_away = True
    client = there.client()
    told = rf"^http://invokeai\.example:9090 does not answer: .* of InvokeAI {re.escape(shipped_schema().version)}, "
    with pytest.warns(SnapshotWarning, match=told) as warned:
        handle = client.workflow_repo.create_workflow_handle(WorkflowDefinition.from_file(SUNSET))
    assert [warning.filename for warning in warned] == [__file__]
    assert handle.schema.source != client.url
    assert len(handle.list_inputs()) == 16
    for call in (client.schema, lambda: client.create_workflow(WorkflowDefinition.from_file(SUNSET))):
        with pytest.warns(SnapshotWarning) as warned:
            call()
        assert [warning.filename for warning in warned] == [__file__]
    there.is_away = False
    assert client.schema().source == client.url
    there.is_away = True
    assert client.schema(fresh=True).source == client.url


def test_a_schema_can_be_given(schema: Schema) -> None:
    there = Server(schema)
    handle = there.client().create_workflow(WorkflowDefinition.from_file(SUNSET), schema=schema)
    assert handle.schema is schema
    assert there.asked == 0


def test_something_else_at_the_address_has_no_schema(schema: Schema) -> None:
    there = Server(schema)
    for there.document in ({"openapi": "3.1.0"}, {"components": {"schemas": {}}}):
        with pytest.raises(SchemaError, match=r"^http://invokeai\.example:9090: "):
            there.client().schema()
    with pytest.raises(InvalidUrlError):
        InvokeAIClient.from_url("invokeai.example")


def test_it_is_a_client_like_any_other_and_at_hand() -> None:
    assert invokeai_gen.InvokeAIClient is InvokeAIClient
    assert invokeai_gen.WorkflowDefinition is WorkflowDefinition
    assert issubclass(InvokeAIClient, server.InvokeAIClient)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = invokeai_gen.Nonsense  # type: ignore[attr-defined]
    assert all(item.__doc__ for name, item in vars(handles).items() if name[0].isalpha() and name != "FIELD_CLASSES")


def test_importing_handles_loads_nothing_heavy() -> None:
    heavy = ("httpx", "socketio", "engineio", "aiohttp", "PIL", "rich", "click", "jinja2", "black")
    code = (
        "import sys, invokeai_gen; print('pydantic' in sys.modules)\n"
        "import invokeai_gen.handle\n"
        "invokeai_gen.InvokeAIClient('http://localhost:9')\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split("\n")[:2] == ["False", "[]"], loaded.stdout


def test_files_of_several_handles_in_one_folder_replace_no_others(invokeai: FakeInvokeAI, tmp_path: Path) -> None:
    client = compat.InvokeAIClient.around(invokeai.async_client)
    opened = client.create_workflow(WorkflowDefinition.from_file(SUNSET), schema=shipped_schema())
    save = partial(client.workflow_repo.download_batch_outputs, [opened], tmp_path, organize_by_workflow=False)

    def run(size: int) -> None:
        invokeai.returns(poster=(size, size))
        opened.submit_sync()
        opened.wait_for_completion_sync(timeout=60)

    run(8)
    poster = tmp_path / "000-poster.png"
    assert poster in save(include_metadata=True).files
    assert poster.with_suffix(".json").is_file()
    before = poster.read_bytes()
    run(16)
    with pytest.raises(FileExistsError, match="000-poster.png already exists, .* the new file is .*000"):
        save()
    assert poster.read_bytes() == before
    save(overwrite=True)
    assert poster.read_bytes() != before
    assert [*(tmp_path / "000").iterdir()] == []


def test_callbacks_are_called_to_the_end_after_another_submission(invokeai: FakeInvokeAI) -> None:
    seen: list[tuple[int, str]] = []

    async def main() -> int:
        opened = WorkflowHandle(WorkflowDefinition.from_file(SUNSET), shipped_schema(), invokeai.client)
        began, ended = asyncio.Event(), asyncio.Event()

        def note(event: StatusChanged) -> None:
            seen.append((event.item_id, event.status))
            began.set()
            if event.status == "canceled":
                ended.set()

        invokeai.hangs()
        first = (await opened.submit(on_status=note)).item_id
        async with asyncio.timeout(60):
            await began.wait()
            await opened.submit()
            gc.collect()
            await invokeai.async_client.queue.cancel(first)
            await ended.wait()
        return first

    first = asyncio.run(main())
    assert seen == [(first, "in_progress"), (first, "canceled")]
