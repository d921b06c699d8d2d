"""Small workflows of our own, one idea each, against what the real GUI made of them."""

import json
from pathlib import Path

import pytest

from invokeai_gen.compiler import NotReadyError
from invokeai_gen.schema import Schema, load_schema
from invokeai_gen.workflow import WorkflowError
from tests.conformance.ways import Case, by_payload, golden_differences

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/workflow.json"))
SENT = [folder for folder in FOLDERS if (folder / "request.json").exists()]
REFUSED = [folder for folder in FOLDERS if (folder / "refusal.json").exists()]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(HERE.parents[1] / "data" / "openapi.json")


def test_every_case_was_recorded() -> None:
    assert len(FOLDERS) == len(SENT) + len(REFUSED) == len({*SENT, *REFUSED})


@pytest.mark.parametrize("folder", SENT, ids=lambda folder: folder.name)
def test_sends_what_the_gui_sent(folder: Path, schema: Schema, tmp_path: Path) -> None:
    case = Case.golden(folder)
    assert golden_differences(by_payload(case, schema, tmp_path), case) == []


@pytest.mark.parametrize("folder", REFUSED, ids=lambda folder: folder.name)
def test_refuses_what_the_gui_refused(folder: Path, schema: Schema, tmp_path: Path) -> None:
    with pytest.raises((NotReadyError, WorkflowError)) as refusal:
        by_payload(Case.golden(folder), schema, tmp_path)
    expected = json.loads((folder / "refusal.json").read_bytes())["expected"]
    assert [text for text in expected if text not in str(refusal.value)] == []
