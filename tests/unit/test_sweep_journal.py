"""The file of a sweep survives the end of its process at any moment, and belongs to one process at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.sweeps.batching import Group, Layout
from invokeai_gen.sweeps.journal import Journal, SweepFileError, entries_of
from invokeai_gen.sweeps.results import SweepCounts, Tally
from invokeai_gen.sweeps.space import space_of
from invokeai_gen.sweeps.sweep_file import DAMAGE, decode_layout, encode_layout
from tests import plans
from tests.unit.full_disk import files_of_at_most


def test_what_was_noted_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "a.sweep"
    made = Journal.create(path, {"workflow": "狐狸"})
    made.note(sending="1")
    made.note(sent="1", items=[3, 4])
    made.close()
    again, entries = Journal.open(path)
    again.close()
    assert entries == [{"sweep": 1, "workflow": "狐狸"}, {"sending": "1"}, {"sent": "1", "items": [3, 4]}]
    assert list(entries_of(entries, "sent")) == ["1"]


def test_a_line_that_was_cut_off_counts_as_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.sweep"
    made = Journal.create(path, {})
    made.note(sending="1")
    made.note(sending="2")
    made.close()
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, whole.index(b"\n"), -1):
        path.write_bytes(whole[:cut])
        again, entries = Journal.open(path)
        assert len(entries) == whole[:cut].count(b"\n")
        again.note(sending="3")
        again.close()
        assert json.loads(path.read_bytes().splitlines()[-1]) == {"sending": "3"}
        assert len(path.read_bytes().splitlines()) == len(entries) + 1


def test_a_note_that_the_disk_has_no_room_for_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.sweep"
    journal = Journal.create(path, {})
    whole = path.read_bytes()
    with files_of_at_most(len(whole) + 5), pytest.raises(SweepFileError, match=r"a\.sweep cannot be written"):
        journal.note(sending="1")
    assert path.read_bytes() == whole
    journal.note(sending="2")
    journal.close()
    again, entries = Journal.open(path)
    again.close()
    assert [*entries_of(entries, "sending")] == ["2"]


def test_a_file_that_was_deleted_meanwhile_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.sweep"
    journal = Journal.create(path, {})
    path.unlink()
    with pytest.raises(SweepFileError, match="cannot be written"):
        journal.note(sending="1")
    journal.close()
    assert not path.exists()


def test_a_lock_that_cannot_be_made_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(SweepFileError, match=r"a\.sweep cannot be locked"):
        Journal.create(tmp_path / "a.sweep", {})


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.sweep"
    path.write_text("mine")
    with pytest.raises(SweepFileError, match="exists already"):
        Journal.create(path, {})
    assert path.read_text(encoding="utf-8") == "mine"


def test_two_processes_cannot_work_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sweep"
    made = Journal.create(path, {})
    with pytest.raises(SweepFileError, match="still running"):
        Journal.open(path)
    made.close()
    again, _ = Journal.open(path)
    again.close()


@pytest.mark.parametrize("text", ["", "[]\n", "nonsense\n", '{"other": 1}\n', '{"sweep": 99}\n', "[1]\n[2]\n"])
def test_any_other_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.sweep"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SweepFileError, match="is not a sweep file"):
        Journal.open(path)


def test_a_file_that_is_missing_or_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SweepFileError, match="cannot be read"):
        Journal.open(tmp_path / "none")
    with pytest.raises(SweepFileError, match="cannot be written"):
        Journal.create(tmp_path / "none" / "a.sweep", {})


def test_items_are_counted_once_however_often_they_are_sent() -> None:
    tally = Tally(2)
    tally.send(0, 10)
    tally.send(1, 11)
    tally.update(0, 10, "failed")
    tally.update(1, 11, "completed")
    assert tally.all_ended
    tally.reset([0])
    assert not tally.all_ended
    tally.send(0, 12)
    tally.update(0, 10, "failed")
    assert tally.statuses == ["pending", "completed"], "what is told of the earlier attempt"
    tally.update(0, 12, "completed")
    assert (tally.ended, tally.ended_at) == ([0, 1, 0], {0: 2, 1: 1})
    assert SweepCounts.of(tally.statuses) == SweepCounts(total=2, completed=2)


def test_what_has_ended_does_not_change_any_more() -> None:
    tally = Tally(1)
    tally.withdraw([0])
    tally.update(0, 1, "completed")
    assert (tally.statuses, tally.all_ended) == (["canceled"], True)


def test_what_is_sent_after_all_has_not_ended() -> None:
    tally = Tally(1)
    tally.withdraw([0])
    tally.send(0, 1)
    assert (tally.all_ended, tally.ended_at) == (False, {})
    assert tally.lost(deleted=True) == []


def test_a_status_that_is_not_known_counts_as_other() -> None:
    assert SweepCounts.of(["unsent", "dreaming"]) == SweepCounts(total=2, unsent=1, other=1)


COLUMN = {"node_path": "n", "field_name": "width", "items": [1, 2]}


@pytest.mark.parametrize(
    "own",
    [
        [[]],
        [[{**COLUMN, "items": []}]],
        [[COLUMN, {**COLUMN, "field_name": "height", "items": [1]}]],
        [[{**COLUMN, "node_path": 7}]],
    ],
)
def test_batch_data_of_a_damaged_file_is_refused_before_anything_is_sent(own: list[Any]) -> None:
    space = space_of(plans.PictureParams, None, product={"width": [8, 16]})

    both = [[COLUMN, {**COLUMN, "field_name": "height"}]]
    plan = plans.picture().plan
    layout = Layout(plan, space, [Group(((0, 1),), both)], frozenset({"width"}))

    def decoded(data: list[Any]) -> Layout:
        stored = json.loads(json.dumps(encode_layout(layout, ())))
        stored["groups"][0]["own"] = data
        return decode_layout(plan, space, stored, {})

    assert decoded(both).groups == [Group(((0, 1),), both)]
    with pytest.raises(DAMAGE):  # resuming says that the file is damaged
        decoded(own)
