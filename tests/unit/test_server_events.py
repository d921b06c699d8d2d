"""Events are read by attribute or as mappings, and times have a time zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from invokeai_gen.server.events import InvocationProgress, StatusChanged, parse_event
from invokeai_gen.server.records import QueueItem, parse_time

STATUS = {
    "item_id": 7,
    "batch_id": "b",
    "status": "failed",
    "queue_id": "default",
    "started_at": "2026-11-20 20:53:48.396",
    "completed_at": "2026-11-20 20:53:50.396",
    "error_message": "too small",
}
PROGRESS: Mapping[str, Any] = {
    "item_id": 7,
    "batch_id": "b",
    "invocation_source_id": "n1",
    "invocation": {"id": "p1", "type": "denoise_latents"},
    "message": "Denoising",
    "percentage": 0.5,
    "image": None,
}


def test_an_event_is_a_mapping_of_its_attributes_and_of_what_the_server_sent() -> None:
    event = parse_event("queue_item_status_changed", STATUS, {})
    assert isinstance(event, StatusChanged)
    assert (event["status"], event.get("error"), event["queue_id"]) == ("failed", "too small", "default")
    assert event.get("nonsense", 3) == 3
    with pytest.raises(KeyError):
        event["nonsense"]
    assert set(event) == {*STATUS, "error", "error_type"}
    assert len(event) == len(dict(event)) == len(set(event))
    assert event["started_at"] == datetime(2026, 11, 20, 20, 53, 48, 396000, UTC)
    assert event.raw["started_at"] == STATUS["started_at"]


def test_an_event_is_shown_without_all_that_the_server_sent() -> None:
    event = parse_event("queue_item_status_changed", {**STATUS, "session": {"graph": "large"}}, {})
    assert isinstance(event, StatusChanged)
    assert event["session"] == {"graph": "large"}
    assert "failed" in repr(event)
    assert "large" not in repr(event)


def test_progress_has_its_parts_together() -> None:
    event = parse_event("invocation_progress", PROGRESS, {"n1": "Denoise"})
    assert isinstance(event, InvocationProgress)
    assert event["progress"] == {"percentage": 0.5, "message": "Denoising"}
    assert (event["node_id"], event["node_label"], event["invocation_type"]) == ("n1", "Denoise", "denoise_latents")


def test_times_can_be_subtracted_and_stay_as_text_in_raw() -> None:
    item = QueueItem.of(STATUS)
    assert item.started_at is not None
    assert item.completed_at is not None
    assert item.completed_at - item.started_at == timedelta(seconds=2)
    assert item.timings.execution_seconds == 2
    assert item.raw["completed_at"] == "2026-11-20 20:53:50.396"
    assert item.created_at is None


def test_a_time_keeps_its_own_zone_and_nonsense_is_no_time() -> None:
    assert parse_time("2026-11-20T20:53:48+02:00") == datetime(
        2026, 11, 20, 20, 53, 48, tzinfo=timezone(timedelta(hours=2))
    )
    assert [parse_time(value) for value in (None, "", "soon", 5)] == [None] * 4
