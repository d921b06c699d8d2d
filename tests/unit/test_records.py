"""Records behave as the dataclasses that type checkers take them for."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, field, fields, replace

import pytest

from invokeai_gen.records import record


@record(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A record that is a value."""

    name: str
    sizes: tuple[int, ...] = ()
    source: str = field(default="", compare=False, repr=False)


@record(slots=True)
class Changing:
    """A record that changes."""

    items: list[str] = field(default_factory=list)


def test_records_are_equal_by_their_compared_fields() -> None:
    assert Frozen(name="a", source="x") == Frozen(name="a", source="y")
    assert Frozen(name="a") != Frozen(name="b")
    assert Frozen(name="a") != Changing(["a"])  # type: ignore[comparison-overlap]
    assert Changing(["a"]) == Changing(["a"])
    assert len({Frozen(name="a"), Frozen(name="a", source="y"), Frozen(name="b")}) == 2


def test_a_record_that_changes_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Changing())


def test_a_record_shows_its_fields() -> None:
    assert repr(Frozen(name="a", sizes=(1,), source="x")) == "Frozen(name='a', sizes=(1,))"


def test_records_can_be_copied_replaced_and_pickled() -> None:
    item = Frozen(name="a", sizes=(1, 2))
    assert replace(item, name="b") == Frozen(name="b", sizes=(1, 2))
    assert copy.deepcopy(item) == item == pickle.loads(pickle.dumps(item))
    assert asdict(item) == {"name": "a", "sizes": (1, 2), "source": ""}
    assert [spec.name for spec in fields(item)] == ["name", "sizes", "source"]


def test_a_record_refuses_unknown_fields() -> None:
    with pytest.raises(TypeError, match="nmae"):
        Frozen(nmae="a")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Changing().other = 1  # type: ignore[attr-defined]
