"""The checks that are made without pydantic are those that pydantic makes."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Any, Literal, NotRequired, get_type_hints

import annotated_types
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import ArgsKwargs, SchemaValidator
from typing_extensions import TypedDict

from invokeai_gen.core.checks import Limits, dataclass_schema, validator
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import ColorInput, ImageInput, Input, LoRA, ModelInput, ModelRef

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_assignment=True)


class Point(TypedDict):
    x: int
    label: NotRequired[Literal["positive", "negative"] | None]


class Tree(TypedDict):
    name: str
    children: list[Tree]


class Tile(BaseModel):
    size: int


SAMPLES: tuple[Any, ...] = (
    *(None, True, 0, 1, 8, 12, 1.0, 2.5, float("nan"), float("inf"), "", "a", "ab", "abc", b"a", "#ff8000"),
    *([], [1], [8, 16], [1.5], ["a"], ["abc"], [None], [[1]], (), (1, 2, 3), {}, {"a": 1}, {1: 1}, {"x": 1}),
    *({"x": 1, "label": "positive"}, {"x": 1, "label": "odd"}, {"x": "1"}, {"x": 1, "y": 2}, [{"x": 1}]),
    *({"name": "a", "children": [{"name": "b", "children": []}]}, {"name": "a", "children": [{"name": 1}]}),
    *({"size": 1}, {"size": "1"}, Tile(size=1), LoRA("l"), ModelRef(name="m"), ModelRef(), object()),
)
HINTS: tuple[Any, ...] = (
    *(int, float, str, bool, None, Any, Literal["a", "b"], int | None, float | list[float], list[int], dict[str, Any]),
    *(list[str | None], int | str | None, dict[str, list[int]], ImageInput | None, list[ColorInput], list[LoRA], LoRA),
    Annotated[int, Limits(ge=1, le=8, multiple_of=8)],
    Annotated[float, Limits(gt=1, lt=2.5)],
    Annotated[str, Limits(min_length=1, max_length=2)],
    Annotated[list[Annotated[int, Limits(multiple_of=8)]], Limits(min_length=1, max_length=1)] | None,
    Annotated[Annotated[int, Limits(ge=1)], Limits(le=8)],
    Annotated[ModelInput, Input(0, node="n", field="f", label="l", base=("sdxl",))],
    # What generated modules do not have, or only in part, and pydantic is asked about:
    *(
        Point,
        list[Point],
        Point | None,
        Tree,
        list[Tree],
        Tile,
        Tile | None,
        list,
        dict,
        tuple[int, ...],
        bytes,
        object,
    ),
    *(Annotated[int, Field(ge=8)], Annotated[int, "a note"], Annotated[int, Field(ge=8), Limits(multiple_of=8)]),
    *(Annotated[int | None, Limits(ge=1)], list[Annotated[int, annotated_types.Gt(1)]]),
    Annotated[Point, Input(0, node="n", field="f", label="l")],
)


def outcome(check: TypeAdapter[Any] | SchemaValidator, value: Any) -> tuple[object, ...]:
    try:
        return "accepted", repr(check.validate_python(value))
    except (ValidationError, TypeError) as error:
        details = error.errors(include_url=False, include_context=False) if isinstance(error, ValidationError) else ()
        return "refused", *((part["type"], _place(part["loc"]), part["msg"]) for part in details)


def _place(steps: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return where a value is, with the name that an integer without our limit has there."""
    return tuple("int" if step == "constrained-int" else step for step in steps)


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: re.sub(r" at 0x[0-9a-f]+", "", repr(hint)))
def test_a_hint_is_checked_as_pydantic_checks_it(hint: Any) -> None:
    ours = validator(list[hint])
    theirs: TypeAdapter[Any] = TypeAdapter(list[hint], config=STRICT)
    for sample in SAMPLES:
        assert outcome(ours, [sample]) == outcome(theirs, [sample]), sample


@pytest.mark.parametrize(
    ("hint", "accepted", "refused"),
    [
        (Literal[0, 1, 8], [0, 1, 8], [True, False, 1.0, 8.0, 2, "8", None]),
        (Literal[1, 8] | None, [1, 8, None], [True, 1.0]),
        (list[Literal["a", 1]], [["a", 1]], [[True], [1.0]]),
        (Literal[1.0, 2.5], [1.0, 2.5, 1], [True, 2]),
        (Literal[True, False], [True, False], [1.0, 0.0, "a"]),
    ],
)
def test_unlike_pydantic_a_choice_of_a_number_takes_no_boolean_and_no_float(
    hint: Any, accepted: list[Any], refused: list[Any]
) -> None:
    check = validator(hint)
    assert [check.validate_python(value) for value in accepted] == accepted
    for value in refused:
        with pytest.raises(ValidationError, match="Input should be"):
            check.validate_python(value)


def test_limits_that_do_not_go_with_a_type_are_refused_as_by_pydantic() -> None:
    hints: tuple[Any, ...] = (Annotated[str, Limits(ge=1)], Annotated[int, Limits(min_length=1)])
    for hint in hints:
        with pytest.raises(TypeError) as theirs:
            TypeAdapter(hint).validate_python("a" if "str" in repr(hint) else 1)
        with pytest.raises(TypeError) as ours:
            validator(hint).validate_python("a" if "str" in repr(hint) else 1)
        assert str(ours.value) == str(theirs.value)


def test_limits_are_those_of_annotated_types() -> None:
    limits = Limits(ge=1, gt=2, le=3, lt=4, multiple_of=5, min_length=6, max_length=7)
    kinds = ("Ge", "Gt", "Le", "Lt", "MultipleOf", "MinLen", "MaxLen")
    assert sorted(type(item).__name__ for item in limits) == sorted(kinds)
    assert isinstance(limits, annotated_types.GroupedMetadata)
    assert dict(limits.items()) == {item.name: place for place, item in enumerate(dataclasses.fields(Limits), start=1)}


@dataclasses.dataclass(kw_only=True)
class Ours:
    number: Annotated[int, Limits(ge=1)]
    text: str | None = None
    many: list[float] = dataclasses.field(default_factory=lambda: [1.0])
    point: Point | None = None


@pydantic_dataclass(kw_only=True, config=STRICT)
class Theirs:
    number: Annotated[int, Limits(ge=1)]
    text: str | None = None
    many: list[float] = dataclasses.field(default_factory=lambda: [1.0])
    point: Point | None = None


@pytest.mark.parametrize(
    "values",
    [
        {"number": 1},
        {"number": 1, "text": "a", "many": [1], "point": {"x": 1}},
        {},
        {"number": 0, "text": 1, "many": ["a"], "point": {"x": "1", "y": 1}},
        {"number": 1, "other": 2, "many": 1},
    ],
)
def test_a_dataclass_is_checked_as_pydantic_checks_it(values: dict[str, Any]) -> None:
    told: list[Any] = []
    for cls, check in (
        (Ours, SchemaValidator(dataclass_schema(Ours, get_type_hints(Ours, include_extras=True)))),
        (Theirs, Theirs.__pydantic_validator__),  # type: ignore[attr-defined]
    ):
        made = cls.__new__(cls)
        try:
            check.validate_python(ArgsKwargs((), values), self_instance=made)
            told.append(vars(made))
        except ValidationError as error:
            told.append([(part["type"], part["loc"], part["msg"], part["input"]) for part in error.errors()])
    assert told[0] == told[1]


@params
class Params(WorkflowParams):
    width: Annotated[int, Limits(ge=8), Input(0, node="n", field="w", label="Width")] = 8
    points: Annotated[list[Point], Input(1, node="n", field="p", label="Points")] = dataclasses.field(
        default_factory=list[Point]
    )


class Order(BaseModel):
    params: Params
    image: ImageInput


def test_params_and_inputs_can_be_fields_of_a_pydantic_model() -> None:
    order = Order(params=Params(width=16), image="a.png")
    assert order.params == Params(width=16)
    assert order.model_dump() == {"params": {"width": 16, "points": []}, "image": "a.png"}
    with pytest.raises(ValidationError, match="Input should be an image"):
        Order(params=Params(), image=3)  # type: ignore[arg-type]


def test_a_structure_of_the_schema_is_checked_to_its_depths() -> None:
    assert Params(points=[{"x": 1, "label": "positive"}]).points == [{"x": 1, "label": "positive"}]
    with pytest.raises(ParamsError, match="Points"):
        Params(points=[{"x": "1"}])  # type: ignore[typeddict-item]


def test_a_misspelt_choice_is_answered_with_the_closest_one() -> None:
    from generated import sdxl_text_to_image as wf

    scheduler: Any = "Eular"
    with pytest.raises(ParamsError, match=r"^Scheduler \(scheduler\) is 'Eular', but .*; did you mean 'euler'\?$"):
        wf.Params(scheduler=scheduler)
    scheduler = "something else"
    with pytest.raises(ParamsError, match=r"should be 'ddim', .* or 'tcd'$"):
        wf.Params(scheduler=scheduler)
