"""Every recorded case of the corpus: our request is the GUI's, and what the GUI refuses we refuse.

The corpus is not part of the project. `INVOKEAI_GEN_CORPUS` names its folder; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.compiler import NotReadyError, compile_workflow
from invokeai_gen.core.request import build_request
from invokeai_gen.schema import Schema, load_schema
from invokeai_gen.workflow import WorkflowError, read_workflow_file
from tests.conformance.compare import differences

_FOLDER = os.environ.get("INVOKEAI_GEN_CORPUS", "")
CORPUS = Path(_FOLDER)
CASES = sorted(path.parent.name for path in CORPUS.glob("gui/*/case.json")) if _FOLDER else []

pytestmark = pytest.mark.skipif(not _FOLDER, reason="INVOKEAI_GEN_CORPUS names no folder of recorded requests")

REFUSED_BY_US = {"t09-batch-through-connector"}
"""The GUI sends these, and the server answers 422 to every one of them: we say so before sending."""


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(CORPUS / "openapi" / "invokeai-6.14.2.json")


def _compiled(case: str, schema: Schema) -> dict[str, Any]:
    options = json.loads((CORPUS / "gui" / case / "case.json").read_bytes())
    file = read_workflow_file(CORPUS / "gui" / case / "workflow.json")
    plan = compile_workflow(file, schema, validate=options.get("validate", True)).plan
    return build_request(plan, {}, runs=options.get("iterations", 1), auto_board_id=options.get("auto_board"))


@pytest.mark.parametrize("case", CASES)
def test_the_request_is_the_one_that_the_gui_sends(case: str, schema: Schema) -> None:
    recorded = CORPUS / "gui" / case / "request.json"
    if not recorded.exists() or case in REFUSED_BY_US:
        with pytest.raises((NotReadyError, WorkflowError)):
            _compiled(case, schema)
        return
    found = differences(_compiled(case, schema), json.loads(recorded.read_bytes()))
    assert not found, f"{case} differs from the GUI:\n" + "\n".join(found)


@pytest.mark.skipif(not CASES, reason="the corpus has no cases")
def test_what_only_we_refuse_is_what_the_server_would_refuse() -> None:
    for case in REFUSED_BY_US:
        assert json.loads((CORPUS / "gui" / case / "case.json").read_bytes())["server_status"] == 422


def test_the_same_files_compile_against_an_older_server() -> None:
    """Node types that 6.8.1 does not have are reported; everything else compiles there as well."""
    old = load_schema(CORPUS / "openapi" / "invokeai-6.8.1.json")
    compiled = set()
    for case in CASES:
        file = read_workflow_file(CORPUS / "gui" / case / "workflow.json")
        try:
            compile_workflow(file, old)
        except (NotReadyError, WorkflowError) as error:
            assert str(error)
        else:
            compiled.add(case)
    assert {"t01-cpu-basic", "t02-batches", "text-to-image-sdxl", "community-sdxl-flux-refine"} <= compiled
