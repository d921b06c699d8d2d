"""What a sweep goes over, and how its points are packed into enqueues."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from invokeai_gen.core.problems import ParamsError
from invokeai_gen.sweeps.batching import (
    Block,
    Cell,
    Data,
    Group,
    Layout,
    graph_values,
    is_batchable,
    selections,
)
from invokeai_gen.sweeps.space import Space, space_of
from tests import plans
from tests.plans import PictureParams

OWN: Data = [[{"node_path": "x", "field_name": "n", "items": [7, 8, 9]}]]


def space(**arguments: Any) -> Space[PictureParams]:
    return space_of(PictureParams, arguments.pop("base", None), **arguments)


def points(made: Space[Any]) -> list[tuple[Any, ...]]:
    return [tuple(made.changes(point).values()) for point in range(len(made))]


def test_a_product_has_every_combination_and_its_last_input_changes_fastest() -> None:
    made = space(product={"width": range(1, 3), "color": ["#000000", "#ffffff"]})
    assert points(made) == [(1, "#000000"), (1, "#ffffff"), (2, "#000000"), (2, "#ffffff")]
    assert made.names == ("width", "color")


def test_zip_advances_together_and_multiplies_with_a_product() -> None:
    made = space(zipped={"width": [1, 2], "board": ["a", "b"]}, product={"color": ["#000000", "#ffffff"]})
    assert [(*point[:2], point[2][1:2]) for point in points(made)] == [
        (1, "a", "0"),
        (1, "a", "f"),
        (2, "b", "0"),
        (2, "b", "f"),
    ]


def test_rows_change_only_what_differs_between_them() -> None:
    made = space(rows=[PictureParams(width=1, board="x"), PictureParams(width=2, board="x")])
    assert made.names == ("width",)
    assert [made.params(point).board for point in range(2)] == ["x", "x"]


def test_equal_rows_are_as_many_points() -> None:
    assert len(space(rows=[PictureParams(), PictureParams(), PictureParams()])) == 3


def test_what_does_not_change_comes_from_the_base() -> None:
    assert space(base=PictureParams(board="b"), product={"width": [1]}).params(0).board == "b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"product": {"width": "abc"}}, r"Width \(width\): product takes a list of values for it, not 'abc'"),
        ({"product": {"width": 7}}, r"Width \(width\): product takes a list"),
        ({"product": {"width": []}}, r"Width \(width\): product has no value"),
        ({"product": {"widht": [1]}}, r"unknown input 'widht'; did you mean Width"),
        ({"product": {"width": [1, "x"]}}, r"Width \(width\) is 'x', but .* \(value 2 of the list\)"),
        ({"zipped": {"width": [1], "color": ["#000000", "#ffffff"]}}, "the lists of zip differ in length: width has 1"),
        ({"zipped": {"width": [1]}, "product": {"width": [2]}}, "width changes in two ways"),
        ({"product": [1, 2]}, "should be {name: values}"),
        ({"replacements": ["fox"]}, r"replace is \['fox'\], but should be {name: values}"),
        ({"rows": []}, "rows is empty"),
        ({"rows": [PictureParams(), 3]}, "row 2 is 3, not tests.plans"),
        ({"rows": [PictureParams()], "base": PictureParams()}, "leave out the base"),
        ({"product": {"width": range(2000), "color": ["#000000"] * 600}}, r"1200000 points: 2000 \(width\) × 600"),
    ],
)
def test_a_mistake_is_reported_before_anything_is_sent(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        space(**arguments)


def test_only_so_many_problems_are_reported() -> None:
    with pytest.raises(ParamsError) as caught:
        space(product={"width": ["x"] * 1000})
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].message == "and 980 more"


def test_a_required_input_may_come_from_the_sweep_alone() -> None:
    made = space_of(plans.BatchParams, None, product={"widths": [[1], [2]]})
    assert made.params(1).widths == [2]
    with pytest.raises(ParamsError, match="Widths"):
        space_of(plans.BatchParams, None)


def test_points_and_rows_are_two_ways_to_count() -> None:
    made = space(product={"width": range(3), "color": ["#000000"] * 4, "board": ["a", "b"]})
    assert [made.point_of(made.rows_of(point)) for point in range(24)] == list(range(24))


def columns_of(made: Space[Any]) -> dict[str, list[Any]]:
    """The values of each input, where nothing has to be looked up on a server."""
    return {name: [row[place] for row in axis.rows] for axis in made.axes for place, name in enumerate(axis.names)}


PLAN = plans.picture().plan


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("width", [1, 2.0], True),
        ("width", [True], False),
        ("color", [{"r": 1, "g": 2, "b": 3, "a": 4}], False),
        ("board", ["auto"], False),
    ],
)
def test_only_numbers_texts_and_images_can_be_batch_data(name: str, values: list[Any], expected: bool) -> None:
    planned = next(planned for planned in PLAN.inputs if planned.name == name)
    assert is_batchable(PLAN, planned, values) is expected


def test_a_list_of_a_batch_node_is_no_batch_data() -> None:
    plan = plans.batched().plan
    assert not is_batchable(plan, plan.inputs[0], [[1], [2]])


def items_of(layout: Layout, blocks: list[Block]) -> list[tuple[int, dict[tuple[str, str], Any]]]:
    """What a server makes of these blocks: for each item its number, and all values in its graph."""
    columns = columns_of(layout.space)
    found: list[tuple[int, dict[tuple[str, str], Any]]] = []
    for block in blocks:
        data, runs = layout.batch(block, columns)
        values = graph_values(layout.space, layout.groups[block.group].selection, {}, columns)
        items = [
            values
            | {
                (column["node_path"], column["field_name"]): column["items"][place]
                for entry, place in zip(data, places, strict=True)
                for column in entry
            }
            for _ in range(runs)
            for places in itertools.product(*(range(len(entry[0]["items"])) for entry in data))
        ]
        found += zip(block.items, items, strict=True)
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("own", [[], OWN])
@pytest.mark.parametrize(
    "arguments",
    [
        {"product": {"width": [1, 2, 3], "color": ["#000001", "#000002"]}},
        {"product": {"color": ["#000001", "#000002"], "width": [1, 2, 3]}},
        {"zipped": {"width": [1, 2, 3], "color": ["#000001", "#000002", "#000001"]}, "product": {"board": ["a", "b"]}},
        {},
    ],
)
def test_every_point_becomes_one_item_with_its_own_values(
    arguments: dict[str, Any], own: Data, runs: int, limit: int
) -> None:
    made = space(**arguments)
    columns = columns_of(made)
    batchable = frozenset({"width"} & columns.keys())
    groups = [Group(selection, own) for selection in selections(made, columns, batchable)]
    layout = Layout(PLAN, made, groups, batchable, runs)
    blocks = layout.blocks(limit)
    assert all(len(block.items) <= limit for block in blocks)
    items = items_of(layout, blocks)
    assert sorted(index for index, _ in items) == list(range(len(layout)))
    bindings = {planned.name: planned.binding for planned in PLAN.inputs}
    for index, values in items:
        cell = layout.cells[index]
        expected = {bindings[name]: value for name, value in made.changes(cell.point).items()}
        if own:
            expected["x", "n"] = OWN[0][0]["items"][cell.combination]
        assert values == expected


def test_as_few_enqueues_as_there_are_graphs() -> None:
    made = space(product={"width": range(100), "color": ["#000001", "#000002", "#000001"]})
    columns = columns_of(made)
    batchable = frozenset({"width"})
    groups = [Group(selection, []) for selection in selections(made, columns, batchable)]
    layout = Layout(PLAN, made, groups, batchable)
    blocks = layout.blocks(10_000)
    assert [len(block.items) for block in blocks] == [200, 100]
    data, runs = layout.batch(blocks[0], columns)
    assert (len(data), len(data[0][0]["items"]), runs) == (1, 100, 1)


def test_an_item_alone_has_its_own_place_in_each_batch() -> None:
    own: Data = [*OWN, [{"node_path": "y", "field_name": "m", "items": ["a", "b"]}]]
    together = Group((), own).own_data([Cell(0, 0, 3)])
    assert [(column["node_path"], column["items"]) for column in together] == [("x", [8]), ("y", ["b"])]
    assert Group((), []).own_data([Cell(0, 0)]) == []


def test_a_split_leaves_every_item_in_order() -> None:
    items = tuple(range(10))
    first, rest = Block(0, items, is_whole=True).split(random.Random(1).randrange(1, 9))
    assert first.items + rest.items == items
    assert not first.is_whole
    assert first.batch_id != rest.batch_id


@pytest.mark.parametrize("argument", ["product", "zipped"])
def test_a_list_without_an_end_is_refused(argument: str) -> None:
    with pytest.raises(ParamsError, match=r"Width \(width\).* has more than 100,000 values, or never ends"):
        space(**{argument: {"width": itertools.count(8)}})


def test_rows_without_an_end_are_refused() -> None:
    with pytest.raises(ParamsError, match="rows has more than 100,000 values"):
        space(rows=itertools.repeat(PictureParams()))


def prompts(**replacements: Any) -> list[Any]:
    base = plans.TextToImageParams(prompt="a red fox and a fox")
    made = space_of(plans.TextToImageParams, base, replacements=replacements)
    return [made.params(point).prompt for point in range(len(made))]


def test_words_are_replaced_in_a_text_and_multiply() -> None:
    assert prompts(prompt={"fox": ["owl", "cat"]}) == ["a red owl and a owl", "a red cat and a cat"]
    assert prompts(prompt={"fox": ["red", "fox"], "red": ["fox", "blue"]}) == [
        "a fox red and a red",
        "a blue red and a red",
        "a fox fox and a fox",
        "a blue fox and a fox",
    ]


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ({"prompt": {"wolf": ["owl"]}}, r"Prompt \(prompt\): replace cannot find 'wolf' in 'a red fox and a fox'"),
        ({"prompt": {"": ["owl"]}}, "cannot find ''"),
        ({"prompt": ["fox", "owl"]}, r"replace takes \{word: \[other words\]\}"),
        ({"prompt": {"fox": "owl"}}, "replace takes"),
        ({"prompt": {1: ["owl"]}}, "replace takes"),
        ({"prompt": {"fox": []}}, "has no value"),
        ({"steps": {"2": ["3"]}}, "cannot find '2' in 2"),
        ({"promt": {"fox": ["owl"]}}, "promt"),
    ],
)
def test_what_cannot_be_replaced_is_reported(replacements: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        prompts(**replacements)


def test_a_text_that_changes_in_two_ways_is_refused() -> None:
    with pytest.raises(ParamsError, match="changes in two ways"):
        space_of(
            plans.TextToImageParams,
            plans.TextToImageParams(prompt="fox"),
            product={"prompt": ["a"]},
            replacements={"prompt": {"fox": ["owl"]}},
        )
