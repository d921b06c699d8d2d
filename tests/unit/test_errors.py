"""Errors survive copying and pickling, whatever their class, and never steer a terminal."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import threading
from pathlib import Path

import pytest

import invokeai_gen
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server import errors, run_errors, status_errors


def every_kind(kind: type[InvokeAIGenError] = InvokeAIGenError) -> list[type[InvokeAIGenError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in every_kind(sub))]


for module in pkgutil.walk_packages(invokeai_gen.__path__, "invokeai_gen."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

KINDS = sorted(
    {kind for kind in every_kind() if kind.__module__.startswith("invokeai_gen")}, key=lambda kind: kind.__name__
)
EXAMPLES: list[InvokeAIGenError] = [
    status_errors.status_error("GET", "/api/v1/x", 404, "no such thing"),
    status_errors.status_error("POST", "/api/v1/x", 422, [{"loc": ["body", "a"], "msg": "wrong"}]),
    run_errors.EnqueueClippedError(3, 5, "batch"),
    run_errors.EnqueueUncertainError("batch", ValueError("lost")),
    run_errors.UploadUncertainError("fox.png", ValueError("lost")),
    run_errors.JobFailedError(
        item_id=7, error_type="E", error_message="m", field_labels=["Width"], node_label="Soften"
    ),
    errors.JobTimeoutError("late", item_id=7),
    run_errors.SeveralItemsError(3),
    errors.MissingOutputError("no output"),
    run_errors.DownloadError([Path("a.png")], {"b": "gone"}),
    run_errors.CleanupError(["a"], {"b": "gone"}),
    run_errors.ValueResolutionError("Model", "unknown", ["a", "b"]),
    ParamsError([Problem("width", "'Width' is 1", "Width", "should be 64 or more")]),
]


def state(error: BaseException) -> tuple[object, ...]:
    return type(error), str(error), repr(error), {key: str(value) for key, value in vars(error).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_can_be_pickled_and_copied(kind: type[InvokeAIGenError]) -> None:
    error = kind.__new__(kind)
    error.args = ("text",)
    vars(error).update(label="Width", item_id=7)
    error.add_note("clean-up: a.png is still there")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert state(again) == state(error)
        assert again is not error


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_keeps_what_it_knows(error: InvokeAIGenError) -> None:
    error.add_note("a note")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert state(again) == state(error)


@pytest.mark.parametrize(("number", "shown"), [(10, "Model 9."), (11, "Model 9, … (11 in all).")])
def test_a_long_list_of_candidates_says_how_many_there_are(number: int, shown: str) -> None:
    error = run_errors.ValueResolutionError("Model", "unknown", [f"Model {place}" for place in range(number)])
    assert str(error).endswith(shown)


def test_a_clean_up_counts_what_is_left_of_all() -> None:
    assert str(run_errors.CleanupError(["a", "b", "c"], {"d": "gone"})).startswith("1 of 4 were not deleted:")
    many = run_errors.CleanupError([], {f"{number}.png": "gone" for number in range(1000)})
    assert str(many).splitlines()[-2:] == ["- 19.png: gone", "- and 980 more"]


def test_the_notes_of_a_copy_are_its_own() -> None:
    error = InvokeAIGenError("text")
    error.add_note("one")
    again = copy.copy(error)
    again.add_note("two")
    assert error.__notes__ == ["one"]


def test_what_cannot_be_pickled_is_kept_as_text() -> None:
    error = InvokeAIGenError("text")
    vars(error)["lock"] = threading.Lock()
    assert "lock" in pickle.loads(pickle.dumps(error)).lock


def test_control_characters_are_shown_escaped() -> None:
    error = InvokeAIGenError("a\x1b[31m \x9b \u202e b\n\tc")
    error.add_note("\x07")
    assert str(error) == "a\\x1b[31m \\x9b \\u202e b\n\tc"
    assert error.__notes__ == ["\\x07"]


def test_errors_are_found_where_they_were() -> None:
    assert errors.JobFailedError is invokeai_gen.JobFailedError
    with pytest.raises(AttributeError, match="NoSuchError"):
        _ = errors.NoSuchError


@pytest.mark.parametrize(("labels", "only"), [([], None), (["Width"], "Width"), (["Width", "Height"], None)])
def test_a_failed_job_names_a_field_if_its_node_has_only_that(labels: list[str], only: str | None) -> None:
    error = run_errors.JobFailedError(
        item_id=7, error_type="E", error_message="m", field_labels=labels, node_label="Soften"
    )
    assert error.field_label == only
