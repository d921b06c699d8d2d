"""A module generated from a release's own schema runs on that release.

The newest one runs always; the others with `INVOKEAI_GEN_OLD_SERVER=1`, as each takes a server of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest

from invokeai_gen import InvokeAIClient, ValueResolutionError
from invokeai_gen.codegen.writer import generate
from invokeai_gen.compiler import compile_workflow
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import ModelRef
from invokeai_gen.workflow import read_workflow_file
from tests.schemas.figures import LIVE
from tests.server import DEFAULT_VERSION, Server

WORKFLOW = Path(__file__).parents[2] / "data" / "workflows" / "sd15_text_to_image.json"
OPTED_IN = os.environ.get("INVOKEAI_GEN_OLD_SERVER") == "1"


def _release(release: str) -> Any:
    if release == DEFAULT_VERSION:
        return release
    skip = pytest.mark.skipif(not OPTED_IN, reason="INVOKEAI_GEN_OLD_SERVER is not 1")
    return pytest.param(release, marks=[pytest.mark.old_server, skip])


@pytest.fixture(scope="module", params=[_release(release) for release in LIVE])
def client(request: pytest.FixtureRequest) -> Iterator[InvokeAIClient]:
    with Server.start(version=request.param, models=True) as server, InvokeAIClient(server.url) as opened:
        assert opened.version() == request.param
        yield opened


@pytest.fixture
def module(client: InvokeAIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the text-to-image example, generated from what this server says of its nodes."""
    schema = client.schema()
    plan = compile_workflow(read_workflow_file(WORKFLOW), schema).plan
    name = f"of_{client.version().replace('.', '_')}"
    generate({PurePath(WORKFLOW.name): plan}, tmp_path / name, schemas=schema.schemas)
    monkeypatch.syspath_prepend(tmp_path)
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == name]:
        del sys.modules[loaded]
    return importlib.import_module(f"{name}.{WORKFLOW.stem}")


def test_a_model_found_by_name_makes_an_image(client: InvokeAIClient, module: Any) -> None:
    params = module.Params(model="tiny-sd15", width=64, height=64, steps=2)
    out = module.run(params, client=client, timeout=120)
    assert (out.result.width, out.result.height) == (64, 64)
    assert out.result.bytes().startswith(b"\x89PNG")


def test_a_model_of_another_base_is_refused_before_anything_is_sent(client: InvokeAIClient, module: Any) -> None:
    with pytest.raises(ParamsError, match="base sd-1 or sd-2"):
        module.Params(model=ModelRef(name="tiny-sdxl", base="sdxl", type="main"))
    before = client.queue.counts()
    with pytest.raises(ValueResolutionError, match="Model"):
        module.run(module.Params(model="tiny-sdxl"), client=client)
    assert client.queue.counts() == before
