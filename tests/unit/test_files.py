"""A file is there whole, or as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from invokeai_gen.atomic_files import remove_leftovers, replacing


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with replacing(target) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    target.chmod(0o600)
    with replacing(target) as file:
        file.write(b"new")
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_left_is_removed_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    left, other = tmp_path / f".{'0f' * 16}.part", tmp_path / ".my.part"
    left.touch()
    other.touch()
    remove_leftovers(tmp_path)
    assert left.exists()
    remove_leftovers(tmp_path, older_than=0)
    assert list(tmp_path.iterdir()) == [other]
