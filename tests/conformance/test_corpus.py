"""Every recorded case of the corpus, three ways: our request is the GUI's, and what the GUI refuses we refuse.

The corpus is not part of the project. `INVOKEAI_GEN_CORPUS` names its folder; without it these tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from invokeai_gen.compiler import NotReadyError, compile_workflow
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.schema import Schema, load_schema
from invokeai_gen.workflow import WorkflowError, read_workflow_file
from tests.conformance.compare import differences
from tests.conformance.ways import WAYS, Case

_FOLDER = os.environ.get("INVOKEAI_GEN_CORPUS", "")
CORPUS = Path(_FOLDER)
FOLDERS = ("gui", "gui-more", "gui-odd", "gui-edited", "gui-server")
CASES = (
    [Case.read(path.parent) for folder in FOLDERS for path in sorted(CORPUS.glob(f"{folder}/*/case.json"))]
    if _FOLDER
    else []
)

pytestmark = pytest.mark.skipif(not _FOLDER, reason="INVOKEAI_GEN_CORPUS names no folder of recorded requests")

REFUSED_BY_US: Mapping[str, str] = {
    "gui/t09-batch-through-connector": "a batch cannot go through a connector",
}
"""The GUI sends these, and the server answers 422 to every one of them: we say so before sending."""

REFUSED_AS_PARAMS: Mapping[str, str] = {
    # The GUI was set not to validate, and sends a required field without a value.
    "gui-more/a18-old-export-v2": "is required",
    "gui-odd/fuzz-w13": "is required",
    "gui-odd/fuzz-w17": "is required",
    "gui-odd/fuzz-w20": "is required",
    "gui-odd/fuzz-x201": "is required",
    "gui-odd/fuzz-x205": "is required",
    "gui-odd/fuzz-x209": "is required",
    # The GUI reads a model of an old shape as the settings of a float generator, and sends those.
    "gui-server/r5-model-old-style": "is required",
    # Likewise with empty batches.
    "gui-more/a16-every-node-updated": "the batch is empty",
    # Items that their fields cannot hold: the server takes them, and then its queue is blocked.
    "gui-odd/fuzz-m113": "should be a multiple of 8",
    "gui-odd/fuzz-w1": "should be at most 1",
    "gui-odd/fuzz-w24": "should be at most 1",
    "gui-odd/fuzz-w35": "should be a multiple of 8",
}
"""What a module and a handle refuse as values that cannot be sent, with the words that say why."""

ALLOWED: Mapping[str, tuple[str, ...]] = {
    # The GUI takes the settings of a generator for a board, and fails at the next Invoke.
    "gui-edited/b09-image-generator-board": (
        "request.batch.workflow.nodes[0].data.inputs.generator.value.category",
        "request.batch.workflow.nodes[0].data.inputs.generator.value.type",
    ),
    # The person also typed into fields that an edge and a batch feed, whose values are never used.
    "gui-edited/b11-fed-and-twice": (
        "request.batch.graph.nodes.m.a",
        "request.batch.workflow.nodes[1].data.inputs.a.value",
        "request.batch.workflow.nodes[3].data.inputs.a.value",
    ),
}
"""Where our request may differ."""

NEEDS_SERVER = {
    "gui-edited/b15-call-saved-picked",
    "gui-server/r1-model-other-key-on-form",
    "gui-server/r11-images-gone",
    "gui-server/r13-called-workflow-changed",
    "gui-server/r3-model-unknown-hidden",
    "gui-server/r7-board-deleted-on-form",
}
"""What these become depends on the server: the live tests hold them."""


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(CORPUS / "openapi" / "invokeai-6.14.2.json")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_request_is_the_one_that_the_gui_sends(case: Case, way: str, schema: Schema, tmp_path: Path) -> None:
    name = str(case)
    if name in NEEDS_SERVER:
        pytest.skip("depends on what a server has")
    if name in REFUSED_BY_US or (case.recorded is None and name not in REFUSED_AS_PARAMS):
        with pytest.raises((NotReadyError, WorkflowError, ParamsError), match=REFUSED_BY_US.get(name)):
            WAYS[way](case, schema, tmp_path)
    elif name in REFUSED_AS_PARAMS and way != "payload":
        with pytest.raises(ParamsError, match=REFUSED_AS_PARAMS[name]):
            WAYS[way](case, schema, tmp_path)
    else:
        assert case.recorded is not None
        found = differences(WAYS[way](case, schema, tmp_path), dict(case.recorded))
        allowed = ALLOWED.get(name, ())
        unexpected = [text for text in found if text.partition(": ")[0] not in allowed]
        assert not unexpected, f"{name} differs from the GUI:\n" + "\n".join(unexpected)


@pytest.mark.skipif(not CASES, reason="the corpus has no cases")
def test_what_only_we_refuse_is_what_the_server_would_refuse() -> None:
    for case in CASES:
        if str(case) in REFUSED_BY_US:
            assert case.options["server_status"] == 422


def test_the_same_files_compile_against_an_older_server() -> None:
    """Node types that 6.8.1 does not have are reported; everything else compiles there as well."""
    old = load_schema(CORPUS / "openapi" / "invokeai-6.8.1.json")
    compiled = set()
    for case in CASES:
        if case.folder.parent.name != "gui":
            continue
        file = read_workflow_file(case.folder / "workflow.json")
        try:
            compile_workflow(file, old)
        except (NotReadyError, WorkflowError) as error:
            assert str(error)
        else:
            compiled.add(case.folder.name)
    assert {"t01-cpu-basic", "t02-batches", "text-to-image-sdxl", "community-sdxl-flux-refine"} <= compiled
