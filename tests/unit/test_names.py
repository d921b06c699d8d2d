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
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.codegen.writer import assign_modules
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput, RetiredName, WorkflowPlan
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


def test_without_sections_the_nodes_label_then_title_then_type_then_field_then_id() -> None:
    assert named(
        an_input("Value", index=0, node_label="Prompt"), an_input("Value", index=1, node_title="Integer Primitive")
    ) == ["prompt_value", "integer_primitive_value"]
    assert named(
        an_input("Seed", index=0, node_type="noise", node_title="Noise"),
        an_input("Seed", index=1, node_type="denoise", node_title="Noise"),
    ) == ["noise_seed", "denoise_seed"]
    assert named(
        an_input("Seed", index=0, node_id="a", field_name="noise"),
        an_input("Seed", index=1, node_id="a", field_name="x"),
    ) == ["noise_seed", "x_seed"]


def test_twins_are_told_apart_by_a_piece_of_the_nodes_id_and_never_by_their_place() -> None:
    first = an_input("Seed", index=3, node_id="0a16b2c3-4d5e-4f60-8a1b-2c3d4e5f6071")
    second = an_input("Seed", index=8, node_id="9f8e7d6c-4d5e-4f60-8a1b-2c3d4e5f6071")
    assert named(first, second) == ["seed_0a16", "seed_9f8e"]
    assert named(replace(second, index=3), replace(first, index=8)) == ["seed_9f8e", "seed_0a16"]
    near = replace(second, node_id="0a16b2c4-0000")
    assert named(first, near) == ["seed_0a16b2c3", "seed_0a16b2c4"]


def test_ids_that_are_alike_in_their_letters_are_told_apart_too() -> None:
    made = named(an_input("Seed", index=0, node_id="a-b"), an_input("Seed", index=1, node_id="a b"))
    assert len(set(made)) == 2


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


def renamed(old: WorkflowPlan, *inputs: PlannedInput, keep_renamed: bool = False) -> dict[str, str]:
    """Names by node id after the form became `inputs`."""
    plan = assign_names(a_plan(*inputs), earlier=old, keep_renamed=keep_renamed)
    return {item.node_id: item.name for item in plan.inputs}


WIDTH, PROMPT = an_input("Width", index=0, node_id="w"), an_input("Prompt", index=1, node_id="p")
TWIN = an_input("Width", index=2, node_id="w2", node_type="size", node_title="Image Size")
FORM = assign_names(a_plan(WIDTH, PROMPT))
TWINS = assign_names(a_plan(WIDTH, PROMPT, TWIN), earlier=FORM)


def test_a_twin_does_not_rename_what_was_there() -> None:
    assert renamed(FORM, WIDTH, PROMPT, TWIN) == {"w": "width", "p": "prompt", "w2": "image_size_width"}
    assert renamed(FORM, replace(TWIN, index=0), replace(PROMPT, index=1), replace(WIDTH, index=2)) == {
        "w": "width",
        "p": "prompt",
        "w2": "image_size_width",
    }


def test_a_twin_that_stays_alone_keeps_its_name() -> None:
    assert renamed(TWINS, PROMPT, TWIN) == {"p": "prompt", "w2": "image_size_width"}


def test_moving_to_another_section_renames_nothing() -> None:
    there = replace(WIDTH, sections=("A",)), replace(TWIN, sections=("B",), index=1)
    old = assign_names(a_plan(*there))
    assert [item.name for item in old.inputs] == ["a_width", "b_width"]
    assert renamed(old, replace(there[0], sections=("B",)), replace(there[1], sections=("A",))) == {
        "w": "a_width",
        "w2": "b_width",
    }


def test_a_new_label_gives_a_new_name_unless_names_are_kept() -> None:
    changed = replace(WIDTH, label="Breadth")
    assert renamed(FORM, changed, PROMPT) == {"w": "breadth", "p": "prompt"}
    assert renamed(FORM, changed, PROMPT, keep_renamed=True) == {"w": "width", "p": "prompt"}
    assert renamed(FORM, replace(WIDTH, label="WIDTH"), PROMPT) == {"w": "width", "p": "prompt"}


def test_a_name_never_comes_to_mean_another_node() -> None:
    swapped = replace(WIDTH, label="Prompt"), replace(PROMPT, label="Width")
    made = renamed(FORM, *swapped)
    assert not {"width", "prompt"} & set(made.values())
    other = an_input("Width", index=0, node_id="new", field_type="FloatField", node_type="float")
    assert renamed(FORM, other, PROMPT)["new"] == "integer_primitive_width"
    assert renamed(TWINS, other, PROMPT, TWIN)["new"] not in {"width", "image_size_width"}


def test_a_node_that_was_deleted_and_added_again_has_its_names() -> None:
    assert renamed(FORM, replace(WIDTH, node_id="new"), PROMPT) == {"new": "width", "p": "prompt"}
    again = renamed(TWINS, replace(WIDTH, node_id="n1"), PROMPT, replace(TWIN, node_id="n2"))
    assert again == {"n1": "width", "p": "prompt", "n2": "image_size_width"}
    old = assign_names(a_plan(WIDTH, replace(WIDTH, node_id="w3", index=1)))
    assert renamed(old, replace(WIDTH, node_id="new"))["new"] not in {item.name for item in old.inputs}


def test_a_node_that_comes_back_has_the_name_it_had() -> None:
    without = assign_names(a_plan(PROMPT, TWIN), earlier=TWINS)
    assert [item.name for item in without.retired] == ["width"]
    assert WorkflowPlan.from_json(without.to_json()) == without
    back = assign_names(a_plan(WIDTH, PROMPT, TWIN), earlier=without)
    assert back.inputs == TWINS.inputs
    assert back.retired == ()


def test_a_retired_name_is_free_for_others_after_the_next_generation() -> None:
    without = assign_names(a_plan(PROMPT), earlier=FORM)
    other = an_input("Width", index=0, node_id="new", field_type="FloatField")
    plan = assign_names(a_plan(other, PROMPT), earlier=without)
    assert plan.inputs[0].name == "width"
    assert plan.retired == ()


def test_a_retired_name_goes_to_one_node_only() -> None:
    """A plan of another version may remember one name for two nodes, or for one that a form field has."""
    gone = [RetiredName(node, "value", "Width", "breadth") for node in ("x", "y")]
    taken = RetiredName("z", "value", "Width", "prompt")
    without = replace(assign_names(a_plan(PROMPT)), retired=(*gone, taken))
    back = [replace(WIDTH, node_id=node, index=index) for index, node in enumerate("xyz")]
    made = renamed(without, *back, replace(PROMPT, index=3))
    assert (made["p"], made["x"]) == ("prompt", "breadth")
    assert len(set(made.values())) == 4


def test_naming_again_changes_nothing() -> None:
    assert assign_names(TWINS, earlier=TWINS) == TWINS


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("12")), max_size=8), st.data())
def test_no_edit_of_a_form_ever_repoints_a_name(fields: list[tuple[str, str, str]], data: st.DataObject) -> None:
    def form(items: list[tuple[str, str, str]]) -> list[PlannedInput]:
        return [
            an_input(label, index=index, node_id=node, sections=(section,))
            for index, (label, node, section) in enumerate({item[1]: item for item in items}.values())
        ]

    old = assign_names(a_plan(*form(fields)))
    edit = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("wxyz"), st.sampled_from("12")), max_size=8)
    new = assign_names(a_plan(*form(data.draw(edit))), earlier=old)
    meant = {item.name: item for item in old.inputs}
    there = {item.node_id for item in new.inputs}
    assert len({item.name for item in new.inputs}) == len(new.inputs)
    for item in new.inputs:
        before = meant.get(item.name)
        if before is not None and before.node_id != item.node_id:
            assert before.node_id not in there and before.label == item.label
    for item in new.inputs:
        same = next((earlier for earlier in old.inputs if earlier.binding == item.binding), None)
        if same is not None and same.label == item.label:
            assert item.name == same.name


@pytest.mark.parametrize("name", ["import os", "class", "", "x; y", "_size", "values"])
def test_an_earlier_name_that_cannot_be_used_is_not_kept(name: str) -> None:
    old = a_plan(an_input("Prompt", name=name))
    assert [item.name for item in assign_names(a_plan(an_input("Prompt")), earlier=old).inputs] == ["prompt"]


def test_a_name_that_a_plan_gives_twice_is_not_kept() -> None:
    old = a_plan(an_input("A", name="same"), an_input("B", index=1, name="same"))
    new = a_plan(an_input("A"), an_input("B", index=1))
    assert [item.name for item in assign_names(new, earlier=old).inputs] == ["a", "b"]


def test_outputs_keep_their_names_as_inputs_do() -> None:
    first, twin = an_output("a", node_label="Preview"), an_output("b", node_label="Preview", node_type="other")
    old = assign_names(a_plan(first))
    plan = assign_names(a_plan(twin, first), earlier=old)
    assert {item.node_id: item.name for item in plan.outputs} == {"a": "preview", "b": "other_preview"}
    again = assign_names(a_plan(replace(first, node_id="c")), earlier=old)
    assert again.outputs[0].name == "preview"
    changed = assign_names(a_plan(replace(first, node_label="Final")), earlier=old)
    assert changed.outputs[0].name == "final"


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


def test_a_module_that_exists_keeps_its_name() -> None:
    first, second = PurePosixPath("a/portrait.json"), PurePosixPath("b/portrait.json")
    assert module_names([first, second], kept={first: "portrait"}) == {first: "portrait", second: "b_portrait"}


def test_two_files_never_keep_the_same_module() -> None:
    old = Outline.of(a_plan(source="portrait.json"))
    first, second = PurePosixPath("a/portrait.json"), PurePosixPath("b/portrait.json")
    made = assign_modules({first: old, second: old}, {"portrait": old})
    assert made == {first: "portrait", second: "b_portrait"}
    assert assign_modules({second: old, first: old}, {"portrait": old}) == made


def test_a_copy_of_an_edited_file_does_not_take_over_its_module() -> None:
    plan = a_plan(source="my_portrait.json")
    before = replace(plan, info=replace(plan.info, sha256="before"))
    edited = replace(plan, info=replace(plan.info, sha256="after"))
    copy = replace(plan, info=replace(plan.info, sha256="before", source="My Portrait.json"))
    files = {PurePosixPath("a/My Portrait.json"): copy, PurePosixPath("a/my_portrait.json"): edited}
    made = assign_modules({path: Outline.of(each) for path, each in files.items()}, {"my_portrait": Outline.of(before)})
    assert made[PurePosixPath("a/my_portrait.json")] == "my_portrait"


def test_files_whose_names_differ_in_nothing_a_name_can_hold_are_not_numbered_by_place() -> None:
    one, two, more = (PurePosixPath(f"x{mark}y.json") for mark in ("!", "?", "&"))
    made = module_names([one, two])
    assert made[one] != made[two]
    assert {path: name for path, name in module_names([one, two, more]).items() if path != more} == made


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
