"""What a job says of itself, without any server."""

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from invokeai_gen import AsyncInvokeAIClient, AsyncJob, Workflow, WorkflowOutputs
from invokeai_gen.runtime.async_job import overall_status
from invokeai_gen.runtime.failures import error_of, in_labels
from invokeai_gen.runtime.workflow import PlanFileError
from invokeai_gen.server import background
from invokeai_gen.server.errors import JobCanceledError, JobTimeoutError
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.run_errors import JobFailedError, NotCompletedError, UnknownStatusError
from invokeai_gen.server.status_errors import RejectedError
from invokeai_gen.server.watch import Watch
from tests import plans


@pytest.mark.parametrize(
    ("statuses", "overall"),
    [
        (["completed", "completed"], "completed"),
        (["completed", "in_progress", "pending"], "in_progress"),
        (["failed", "pending"], "pending"),
        (["completed", "canceled", "failed"], "failed"),
        (["completed", "abducted"], "abducted"),
        ([], "pending"),
    ],
)
def test_several_items_have_one_status(statuses: list[str], overall: str) -> None:
    assert overall_status(statuses) == overall


def item(status: str, **more: Any) -> QueueItem:
    return QueueItem(item_id=7, status=status, batch_id="b", **more)


def test_a_completed_item_has_no_error() -> None:
    assert error_of(item("completed"), None) is None


def test_a_failure_names_node_and_fields_as_the_gui_does() -> None:
    session = {
        "errors": {"p": "Traceback"},
        "prepared_source_mapping": {"p": "blank"},
        "graph": {"nodes": {"blank": {"type": "blank_image"}}},
    }
    failed = item(
        "failed", session=session, error_type="ValueError", error_message="too wide", error_traceback="Traceback …"
    )
    error = error_of(failed, plans.picture().plan)
    assert isinstance(error, JobFailedError)
    assert (error.node_id, error.node_type, error.node_label) == ("blank", "blank_image", "Canvas")
    assert (error.error_type, error.error_message, error.server_traceback) == ("ValueError", "too wide", "Traceback …")
    assert error.field_labels == ("Width", "Color")
    assert error.field_label is None
    assert str(error) == (
        "queue item 7 failed in 'Canvas' (blank_image): ValueError: too wide\n"
        "Form fields of this node: 'Width', 'Color'"
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [("canceled", JobCanceledError), ("abducted", UnknownStatusError), ("waiting", NotCompletedError)],
)
def test_every_other_status_has_its_error(status: str, error: type[Exception]) -> None:
    assert type(error_of(item(status), None)) is error


def test_a_refusal_is_reported_in_labels() -> None:
    loc = ["body", "batch", "graph", "nodes", "blank", "blank_image", "width"]
    detail = [
        {"type": "int_parsing", "loc": loc, "msg": "Input should be a valid integer", "input": "x"},
        {"type": "value_error", "loc": ["body", "batch"], "msg": "Value error, Edges are cyclic", "input": {}},
    ]
    error = in_labels(RejectedError("POST", "/enqueue", 422, detail), plans.picture().plan)
    assert error.problems == (
        "'Canvas', 'Width': Input should be a valid integer (given: 'x')",
        "body.batch: Value error, Edges are cyclic",
    )
    assert "'Canvas', 'Width'" in str(error)


def test_the_plan_beside_a_module_is_read_on_first_use(tmp_path: Path) -> None:
    plan = plans.picture().plan
    workflow = Workflow.beside(str(tmp_path / "picture.py"), params=plans.PictureParams, outputs=plans.PictureOutputs)
    with pytest.raises(PlanFileError, match=r"picture\.json is missing: it belongs to picture\.py"):
        workflow.plan  # noqa: B018
    (tmp_path / "picture.json").write_text(plan.to_json(), encoding="utf-8")
    assert workflow.plan == plan


def test_a_plan_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.json").write_text(json.dumps({"format": 99}))
    workflow = Workflow.beside(str(tmp_path / "picture.py"), params=plans.PictureParams, outputs=plans.PictureOutputs)
    with pytest.raises(PlanFileError, match="generate again"):
        workflow.plan  # noqa: B018


def test_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="unknown option 'run'"):
        plans.picture().submit(plans.PictureParams(), run=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(200, json={"item_id": 7, "status": "canceled", "batch_id": "b"}), r"it is canceled now\)"),
        (httpx.Response(500, json={"detail": "no"}), r"it could not be canceled: PUT .* status 500: no.*\)"),
    ],
)
def test_a_job_that_is_late_is_called_canceled_only_if_it_is(answer: httpx.Response, told: str) -> None:
    async def main() -> str:
        client = AsyncInvokeAIClient("http://server", http_backend=httpx.MockTransport(lambda _request: answer))
        watch = Watch("b", {})
        watch.expect((7,))
        return await AsyncJob(client, (7,), watch, outputs=WorkflowOutputs).wait(0.01, cancel_on_timeout=True)

    with pytest.raises(JobTimeoutError, match=rf"did not end within 0.01 s \(its status was pending, {told}$"):
        background.run(main())


def test_a_job_that_has_ended_is_not_called_canceled_because_a_callback_is_late() -> None:
    go_on = threading.Event()

    async def main() -> str:
        client = AsyncInvokeAIClient("http://server", http_backend=httpx.MockTransport(lambda _: httpx.Response(500)))
        watch = Watch("b", {})
        watch.expect((7,))
        watch.catch_up(QueueItem.of({"item_id": 7, "status": "completed", "batch_id": "b"}))
        job = AsyncJob(client, (7,), watch, outputs=WorkflowOutputs)
        return await job.wait(0.01, cancel_on_timeout=True, on_status=lambda _: go_on.wait())

    about = r"^queue item 7 ended \(completed\), but a callback was not done with its events within 0.01 s$"
    try:
        with pytest.raises(JobTimeoutError, match=about):
            background.run(main())
    finally:
        go_on.set()
