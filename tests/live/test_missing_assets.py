"""Models, images and boards that a file names and the server does not have: what the GUI does on load, three ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen import InvokeAIClient, ValueResolutionError
from invokeai_gen.handle import WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import Schema
from tests.cli import Cli, save
from tests.unit.workflow_builder import Builder

GONE = {"key": "gone", "hash": "blake3:gone", "name": "gone", "base": "sd-1", "type": "main"}


@pytest.fixture(scope="module")
def schema(server_url: str) -> Schema:
    with InvokeAIClient(server_url) as client:
        return client.schema()


def _handle(builder: Builder, client: InvokeAIClient) -> WorkflowHandle:
    return WorkflowHandle(WorkflowDefinition.from_dict(builder.data()), builder.schema, client)


def _payload(cli: Cli, builder: Builder, url: str) -> Any:
    return cli("payload", str(save(Path("workflow.json"), builder.data())), "--server", url)


@pytest.fixture
def here(client: InvokeAIClient) -> dict[str, str]:
    """A model of this server."""
    (model,) = client.models.find("tiny-sd15", type="main")
    return {"key": model.key, "hash": model.hash, "name": model.name, "base": model.base, "type": model.type}


@pytest.mark.parametrize("changed", [{"key": "gone"}, {"key": "gone", "hash": "gone"}])
def test_a_hidden_model_is_found_by_hash_or_name(
    changed: dict[str, str], here: dict[str, str], client: InvokeAIClient, schema: Schema, cli: Cli, server_url: str
) -> None:
    builder = Builder(schema).node("load", "main_model_loader", model={**here, **changed})
    asked = _handle(builder, client).request(client)
    assert asked["batch"]["graph"]["nodes"]["load"]["model"] == here
    assert asked["batch"]["workflow"]["nodes"][0]["data"]["inputs"]["model"]["value"] == here
    printed = _payload(cli, builder, server_url)
    assert json.loads(printed.out)["batch"]["graph"]["nodes"]["load"]["model"] == here


def test_everything_missing_is_named_at_once_and_nothing_is_sent(client: InvokeAIClient, schema: Schema) -> None:
    builder = Builder(schema).node("load", "main_model_loader", model=GONE, label="Loader")
    builder.node("save", "save_image", image={"image_name": "gone.png"}, board={"board_id": "gone"}).field("save.image")
    before = client.queue.counts()
    with pytest.raises(ValueResolutionError) as refusal:
        _handle(builder, client).submit_sync()
    assert [
        label for label in ("'Image'", "'Loader → Model'", "'Save Image → Board'") if label not in str(refusal.value)
    ] == []
    assert client.queue.counts() == before


def test_payload_resets_what_is_missing_and_refuses_what_is_then_empty(
    schema: Schema, cli: Cli, server_url: str
) -> None:
    builder = Builder(schema).node("load", "main_model_loader", model=GONE, label="Loader")
    builder.node("blank", "blank_image", board={"board_id": "gone"})
    refused = _payload(cli, builder, server_url)
    assert (refused.code, refused.out) == (1, "")
    assert "field 'Model' (model): a value is required, and the field is empty" in refused.err
    builder = Builder(schema).node("blank", "blank_image", board={"board_id": "gone"})
    printed = _payload(cli, builder, server_url)
    assert "'Blank Image → Board'" in printed.err
    assert "It is left empty, as in the GUI." in printed.err
    request = json.loads(printed.out)["batch"]
    assert "board" not in request["graph"]["nodes"]["blank"]
    assert "value" not in request["workflow"]["nodes"][0]["data"]["inputs"]["board"]
