"""The golden cases again, by way of a generated module and of a handle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from invokeai_gen.compiler import NotReadyError
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.schema import Schema
from invokeai_gen.workflow import WorkflowError
from tests.conformance.ways import WAYS, Case, golden_differences
from tests.golden.test_golden import REFUSED, SENT, schema  # noqa: F401

REFUSED_AS_PARAMS: Mapping[str, str] = {
    # The GUI was set not to validate.
    "batch_empty_unvalidated": "the batch is empty",
    "batch_lengths_differ_unvalidated": "differ in length",
    # The server takes items that their field cannot hold, and then its queue is blocked.
    "generator_parse_infinity": "should be a valid number",
}
"""What a module and a handle refuse as values that cannot be sent, with the words that say why."""


@pytest.mark.parametrize("way", ["module", "handle"])
@pytest.mark.parametrize("folder", SENT, ids=lambda folder: folder.name)
def test_sends_what_the_gui_sent(folder: Path, way: str, schema: Schema, tmp_path: Path) -> None:  # noqa: F811
    case = Case.golden(folder)
    if folder.name in REFUSED_AS_PARAMS:
        with pytest.raises(ParamsError, match=REFUSED_AS_PARAMS[folder.name]):
            WAYS[way](case, schema, tmp_path)
    else:
        assert golden_differences(WAYS[way](case, schema, tmp_path), case) == []


@pytest.mark.parametrize("way", ["module", "handle"])
@pytest.mark.parametrize("folder", REFUSED, ids=lambda folder: folder.name)
def test_refuses_what_the_gui_refused(folder: Path, way: str, schema: Schema, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises((NotReadyError, WorkflowError, ParamsError)):
        WAYS[way](Case.golden(folder), schema, tmp_path)
