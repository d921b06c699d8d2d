"""Python names from what people wrote in the GUI."""

from __future__ import annotations

import keyword
import unicodedata
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invokeai_gen import WorkflowOutputs
from invokeai_gen.codegen import names
from invokeai_gen.codegen.names import MAX_LABEL, PythonIdentifier, assign_names, module_names, words_of
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput
from tests.plan_factory import a_plan, an_input, an_output


def named(*inputs: PlannedInput) -> list[str]:
    return [item.name for item in assign_names(a_plan(*inputs)).inputs]


def labelled(*labels: str, **common: Any) -> list[PlannedInput]:
    return [an_input(label, index=index, **common) for index, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Positive Prompt", "positive_prompt"),
        ("CFG (High Noise)", "cfg_high_noise"),
        ("T5 Encoder", "t5_encoder"),
        ("FLUX.1-dev  /  Krea", "flux_1_dev_krea"),
        ("Don't touch", "dont_touch"),
        ("positive_prompt", "positive_prompt"),
        ("__class__", "class_"),
        ("__init__", "init"),
        ("class", "class_"),
        ("None", "none"),
        ("Int", "int_"),
        ("type", "type_"),
        ("list", "list_"),
        ("field", "field_"),
        ("self", "self_"),
        ("values", "values_"),
        ("Inputs", "inputs_"),
        ("to dict", "to_dict_"),
        ("2nd pass", "input_2nd_pass"),
        ("größe", "größe"),
        ("ﬁne", "fine"),
        ("プロンプト", "プロンプト"),
        ("Ⅷ steps", "viii_steps"),
        ("🦊", "value"),
        ("  ", "value"),
        ("🦊 fox", "fox"),
        ("a\x00b\nc", "a_b_c"),
        ('"""; import os', "import_os"),
        ("{{ x }}", "x"),
    ],
)
def test_label_to_name(label: str, name: str) -> None:
    assert named(an_input(label)) == [name]


def test_a_long_label_ends_at_a_word() -> None:
    (name,) = named(an_input("the quick brown fox " * 10))
    assert len(name) <= MAX_LABEL
    assert name.endswith(("_fox", "_brown", "_quick", "_the"))


def test_long_labels_with_one_beginning_stay_apart() -> None:
    assert len(set(named(*labelled("x" * 100 + "a", "x" * 100 + "b")))) == 2


def test_one_label_in_two_sections_is_told_apart_by_the_sections() -> None:
    assert named(
        an_input("Output Board", index=0, sections=("Title", "Generation Stage")),
        an_input("Output Board", index=1, sections=("Title", "Flux Refinement")),
        an_input("Steps", index=2, sections=("Title", "Flux Refinement")),
    ) == ["generation_stage_output_board", "flux_refinement_output_board", "steps"]


def test_a_section_that_all_share_is_left_out() -> None:
    assert named(
        an_input("Weight", index=0, sections=("LoRAs",), node_label="High Noise"),
        an_input("Weight", index=1, sections=("LoRAs",), node_label="Low Noise"),
    ) == ["high_noise_weight", "low_noise_weight"]


def test_outer_sections_count_where_the_inner_ones_are_the_same() -> None:
    assert named(
        an_input("Steps", index=0, sections=("Base", "Advanced")),
        an_input("Steps", index=1, sections=("Refiner", "Advanced")),
    ) == ["base_steps", "refiner_steps"]


def test_without_sections_the_nodes_label_then_title_then_type_then_index() -> None:
    assert named(
        an_input("Value", index=0, node_label="Prompt"), an_input("Value", index=1, node_title="Integer Primitive")
    ) == ["prompt_value", "integer_primitive_value"]
    assert named(
        an_input("Seed", index=0, node_type="noise", node_title="Noise"),
        an_input("Seed", index=1, node_type="denoise", node_title="Noise"),
    ) == ["noise_seed", "denoise_seed"]
    assert named(an_input("Seed", index=3), an_input("Seed", index=8)) == ["seed_3", "seed_8"]


def test_what_sections_leave_alike_is_told_apart_further() -> None:
    assert named(
        an_input("Model", index=0, sections=("A",), node_label="x"),
        an_input("Model", index=1, sections=("A",), node_label="y"),
        an_input("Model", index=2, sections=("B",), node_label="x"),
    ) == ["a_x_model", "a_y_model", "b_model"]


def test_a_qualifier_is_not_said_twice() -> None:
    assert named(
        an_input("Flux Model", index=0, sections=("Flux",)), an_input("Flux Model", index=1, sections=("Refiner",))
    ) == ["flux_model", "refiner_flux_model"]


def test_a_made_name_that_is_also_a_label_is_a_clash_of_its_own() -> None:
    made = named(
        an_input("Steps", index=0, sections=("A",)),
        an_input("Steps", index=1, sections=("B",)),
        an_input("A Steps", index=2, node_label="Other"),
    )
    assert len(set(made)) == 3
    assert made[1] == "b_steps"


def test_order_does_not_matter() -> None:
    inputs = [
        an_input("Seed", index=0, sections=("A",)),
        an_input("Seed", index=1, sections=("B",)),
        an_input("Seed", index=2, sections=("B",), node_label="Late"),
    ]
    there = {item.binding: item.name for item in assign_names(a_plan(*inputs)).inputs}
    back = {item.binding: item.name for item in assign_names(a_plan(*reversed(inputs))).inputs}
    assert there == back


def test_an_edit_elsewhere_renames_nothing() -> None:
    before = labelled("Prompt", "Width", "Height")
    after = [*before, an_input("Seed", index=9), an_input("Seed", index=10)]
    assert named(*after)[:3] == named(*before)


def test_earlier_names_can_be_kept() -> None:
    old = assign_names(a_plan(an_input("Prompt", index=0), an_input("Size", index=1)))
    new = a_plan(an_input("Positive Prompt", index=0), an_input("Size", index=1), an_input("Prompt", index=2))
    assert [item.name for item in assign_names(new, keep=old).inputs] == ["prompt", "size", "integer_primitive_prompt"]
    assert [item.name for item in assign_names(new).inputs] == ["positive_prompt", "size", "prompt"]


@pytest.mark.parametrize("name", ["import os", "class", "", "x; y", "_size", "values"])
def test_an_earlier_name_that_is_none_is_not_kept(name: str) -> None:
    old = a_plan(an_input("Prompt", name=name))
    assert [item.name for item in assign_names(a_plan(an_input("Prompt")), keep=old).inputs] == ["prompt"]


def test_outputs_are_named_by_label_then_section_then_title() -> None:
    plan = assign_names(
        a_plan(
            an_output("a", node_label="Preview", sections=("Stage One",)),
            an_output("b", sections=("Stage Two",)),
            an_output("c", node_title="Latents to Image"),
        )
    )
    assert [item.name for item in plan.outputs] == ["preview", "stage_two", "latents_to_image"]


def test_a_label_that_two_outputs_share_gives_way_to_their_sections() -> None:
    plan = a_plan(
        an_output("a", node_label="Save", sections=("Generation Stage",)),
        an_output("b", node_label="Save", sections=("Refinement",)),
    )
    assert [item.name for item in assign_names(plan).outputs] == ["generation_stage", "refinement"]


def test_outputs_in_one_section_are_told_apart_by_the_label_of_their_board() -> None:
    boards = [an_input("Draft", index=0, field_type="BoardField"), an_input("Final", index=1, field_type="BoardField")]
    plan = a_plan(
        *boards, an_output("a", board_input=0, sections=("S",)), an_output("b", board_input=1, sections=("S",))
    )
    assert [item.name for item in assign_names(plan).outputs] == ["draft_save_image", "final_save_image"]


def test_a_debug_output_never_changes_the_name_of_a_result() -> None:
    result, debug = an_output("a"), an_output("b", role="debug")
    assert [item.name for item in assign_names(a_plan(result)).outputs] == ["save_image"]
    both = [item.name for item in assign_names(a_plan(debug, result)).outputs]
    assert both[1] == "save_image"
    assert len(set(both)) == 2


@pytest.mark.parametrize("label", ["Images", "by node", "download", "user outputs", "__dict__", "class", "str"])
def test_an_output_never_hides_an_attribute_of_ours(label: str) -> None:
    (output,) = assign_names(a_plan(an_output(node_label=label))).outputs
    assert output.name.endswith("_") or not hasattr(WorkflowOutputs, output.name)


def test_all_attributes_of_our_own_classes_are_reserved() -> None:
    public = {name for name in dir(WorkflowOutputs) if not name.startswith("_")}
    assert public <= names._OUTPUT_RESERVED
    assert {name for name in dir(WorkflowParams) if not name.startswith("_")} <= names._INPUT_RESERVED


def test_module_names_are_safe_on_every_system() -> None:
    stems = ["SDXL then FLUX", "con", "NUL", "com1", "class", "2024-05", "🦊", "_types", "__init__", "größe"]
    made = module_names([PurePosixPath(f"{stem}.json") for stem in stems])
    assert [made[PurePosixPath(f"{stem}.json")] for stem in stems] == [
        "sdxl_then_flux",
        "con_",
        "nul_",
        "com1_",
        "class_",
        "workflow_2024_05",
        "workflow",
        "types",
        "init",
        "größe",
    ]


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    paths = [PurePosixPath(path) for path in ("a/up.json", "b/up.json", "b/other.json", "Up.JSON")]
    made = module_names(paths)
    assert [made[path] for path in paths] == ["a_up", "b_up", "other", "up"]
    assert module_names(reversed(paths)) == made


@pytest.mark.parametrize("text", ["", "a b", "class", "1a", "a;", "ﬁ", "a\n"])
def test_no_identifier_exists_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a Python identifier"):
        PythonIdentifier(text)


@given(st.lists(st.tuples(st.text(), st.text(max_size=3), st.sampled_from(["", "A", "b"])), max_size=6))
def test_any_labels_give_distinct_names(labels: list[tuple[str, str, str]]) -> None:
    inputs = [
        an_input(label, index=index, node_label=node, sections=(section,) if section else ())
        for index, (label, node, section) in enumerate(labels)
    ]
    made = named(*inputs)
    assert len({name.casefold() for name in made}) == len({*made}) == len(inputs)
    for name in made:
        assert name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
        assert unicodedata.normalize("NFKC", name) == name


@given(st.text())
def test_words_are_a_part_of_a_name(text: str) -> None:
    words = words_of(text)
    assert len(words) <= MAX_LABEL
    assert words_of(words) == words
    assert ("_" + words).isidentifier()


def test_naming_leaves_everything_else_alone() -> None:
    plan = a_plan(an_input("Width"), an_output())
    made = assign_names(plan)
    assert replace(made, inputs=plan.inputs, outputs=plan.outputs) == plan
