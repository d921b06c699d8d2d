"""What each run of a batch workflow was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.core.generators import generate
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.run_values import params_of_item, values_of_item
from invokeai_gen.runtime import ImageRef
from invokeai_gen.sweeps.batching import Cell, Group
from tests import plans


def group(node: str, field: str, items: list[Any]) -> Group:
    return Group(((0,),), [[{"node_path": node, "field_name": field, "items": items}]])


def of_run(plan: WorkflowPlan, params: Any, own: Group, place: int) -> tuple[Any, dict[str, Any]]:
    cell = Cell(0, 0, place)
    item, places = own.own_item(cell), own.own_places(cell)
    return params_of_item(plan, params, item, places), values_of_item(plan, params, item, places)


def test_a_list_holds_the_item_of_its_run() -> None:
    plan = plans.batched().plan
    params, values = of_run(plan, plans.BatchParams(widths=[8, 16, 24]), group("blank", "width", [8, 16, 24]), 1)
    assert (params, values) == (plans.BatchParams(widths=[16]), {"widths": 16})


def test_a_file_is_named_as_it_was_given() -> None:
    given: list[Any] = [Path("a.png"), "b.png"]
    own = group("resize", "image", [{"image_name": "1.png"}, {"image_name": "2.png"}])
    params, values = of_run(plans.shrink_all().plan, plans.ShrinkAllParams(pictures=given), own, 0)
    assert (params.pictures, values["pictures"]) == ([Path("a.png")], Path("a.png"))


def test_a_generator_makes_the_same_item_alone() -> None:
    settings = {"type": "string_generator_parse_string", "input": "ember,moss", "splitOn": ","}
    own = group("text", "value", ["ember", "moss"])
    params, values = of_run(plans.prompts().plan, plans.PromptsParams(prompts=settings), own, 1)
    assert values == {"prompts": "moss"}
    assert generate(params.prompts) == ["moss"]


@pytest.mark.parametrize(
    ("kind", "item"),
    [("IntegerGeneratorField", 1234567), ("FloatGeneratorField", 0.25), ("StringGeneratorField", "a, b\\n")],
)
def test_what_a_generator_drew_can_be_run_again(kind: str, item: Any) -> None:
    from invokeai_gen.core.run_values import _generator_of

    settings = _generator_of(kind, item)
    assert settings is not None
    assert generate(settings) == [item]


def test_images_of_a_board_are_named_and_their_generator_stays() -> None:
    settings = {"type": "image_generator_images_from_board", "board_id": "b", "category": "images"}
    own = group("resize", "image", [{"image_name": "1.png"}])
    params, values = of_run(plans.board_images().plan, plans.BoardImagesParams(images=settings), own, 0)
    assert (params.images, values["images"]) == (settings, ImageRef("1.png"))


def test_a_batch_that_is_not_on_the_form_is_named_by_the_field_that_it_feeds() -> None:
    plan = plans.batched().plan
    hidden = WorkflowPlan(**{**{k: getattr(plan, k) for k in plan.__dataclass_fields__}, "inputs": ()})
    values = of_run(hidden, plans.BatchParams(widths=[8]), group("blank", "width", [8, 16, 24]), 2)[1]
    assert values == {"widths": [8], f"{plan.node('blank').label}: width": 24}
