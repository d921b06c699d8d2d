"""Small workflows of our own, one idea each, against what the real GUI made of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.compiler import Compilation, NotReadyError, compile_workflow, reasons_of
from invokeai_gen.core.batch import batch_items
from invokeai_gen.core.request import build_request
from invokeai_gen.schema import Schema, load_schema
from invokeai_gen.workflow import WorkflowError, read_workflow_file
from tests.conformance.compare import differences

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/workflow.json"))
SENT = [case for case in CASES if (case / "request.json").exists()]
REFUSED = [case for case in CASES if (case / "refusal.json").exists()]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(HERE.parents[1] / "data" / "openapi.json")


def test_every_case_was_recorded() -> None:
    assert len(CASES) == len(SENT) + len(REFUSED) == len({*SENT, *REFUSED})


@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name)
def test_sends_what_the_gui_sent(case: Path, schema: Schema) -> None:
    options = _options(case)
    plan = _compiled(case, schema, options).plan
    request = build_request(
        plan,
        {},
        runs=options.get("runs", 1),
        auto_board_id=options.get("auto_board"),
        items=batch_items(plan, {}, options.get("generated", {})),
    )
    recorded = _json(case / "request.json")
    recorded["batch"]["graph"]["id"] = ""
    assert differences(request, recorded) == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refuses_what_the_gui_refused(case: Path, schema: Schema) -> None:
    options = _options(case)
    with pytest.raises((NotReadyError, WorkflowError)) as refusal:
        compilation = _compiled(case, schema, options)
        plan = compilation.plan
        items = batch_items(plan, {}, options.get("generated", {}))
        # What stands on the form is left to whoever runs the workflow; as the file stands, it counts.
        reasons = reasons_of(compilation.workflow, plan, schema, {}, items)
        if reasons:
            raise NotReadyError(reasons)
    report = str(refusal.value)
    assert [text for text in _json(case / "refusal.json")["expected"] if text not in report] == [], report


def _compiled(case: Path, schema: Schema, options: dict[str, Any]) -> Compilation:
    return compile_workflow(read_workflow_file(case / "workflow.json"), schema, validate=options.get("validate", True))


def _options(case: Path) -> dict[str, Any]:
    path = case / "case.json"
    return _json(path) if path.exists() else {}


def _json(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data
