"""What holds for every workflow, whatever is in it."""

from __future__ import annotations

import copy
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invokeai_gen.compiler import compile_workflow
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.request import build_request
from invokeai_gen.schema import Schema, shipped_schema
from invokeai_gen.workflow import WorkflowError, WorkflowFile, load_workflow, read_workflow_file

EXAMPLES = sorted((Path(__file__).parents[2] / "data" / "workflows").glob("*.json"))


@cache
def schema() -> Schema:
    return shipped_schema()


@cache
def example(path: Path) -> WorkflowFile:
    return read_workflow_file(path)


def compiled(data: Any) -> WorkflowPlan:
    return compile_workflow(WorkflowFile("x.json", data, ""), schema(), validate=False).plan


def request_of(plan: WorkflowPlan) -> dict[str, Any]:
    request = build_request(plan, {})
    request["batch"]["graph"].pop("id")
    return request


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """An example with one piece of it, anywhere, replaced, dropped or repeated."""
    data = copy.deepcopy(example(draw(st.sampled_from(EXAMPLES))).data)
    place: Any = data
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], (dict, list)) or not place[key] or draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    match draw(st.sampled_from(("replace", "drop", "repeat"))):
        case "drop":
            del place[key]
        case "repeat" if isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        case _:
            place[key] = draw(JSON)
    return data


@given(mutated())
@settings(max_examples=200, deadline=None)
def test_a_damaged_workflow_compiles_or_is_refused_in_words_and_is_never_changed(data: Any) -> None:
    before = copy.deepcopy(data)
    try:
        first = request_of(compiled(data))
    except WorkflowError as error:
        assert str(error)
    else:
        assert request_of(compiled(data)) == first
    assert data == before


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_loading_what_was_loaded_changes_nothing(path: Path) -> None:
    once, _ = load_workflow(example(path).data, schema())
    again, warnings = load_workflow(once.to_json(), schema())
    assert again.to_json() == once.to_json()
    assert warnings == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_plan_survives_being_written(path: Path) -> None:
    plan = compiled(example(path).data)
    assert WorkflowPlan.from_json(plan.to_json()) == plan


@given(st.sampled_from(EXAMPLES), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_keys_matters_only_inside_a_nodes_inputs(path: Path, shuffler: random.Random) -> None:
    data = example(path).data
    assert request_of(compiled(shuffled(data, shuffler))) == request_of(compiled(data))


def shuffled(value: Any, shuffler: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(item, shuffler) for item in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    if "layout" not in value and not all(isinstance(item, dict) and "name" in item for item in value.values()):
        shuffler.shuffle(keys)
    return {key: shuffled(value[key], shuffler) for key in keys}
