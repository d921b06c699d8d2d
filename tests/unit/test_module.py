"""Module text: readable, always the same, and safe whatever a workflow says."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from invokeai_gen.codegen import docs, module
from invokeai_gen.codegen.names import PythonIdentifier, assign_names
from invokeai_gen.codegen.source import Source, docstring, literal
from invokeai_gen.core.plan import Constraints, PlanBatch, WorkflowPlan
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import ModelLimits
from tests.plan_factory import a_plan, an_input, an_output

NAME = PythonIdentifier("sdxl_flux_refine")

HOSTILE = [
    "quotes \" and ' and \"\"\" and '''",
    '"""',
    '\\"""',
    '"',
    '""""',
    "ends with a backslash \\",
    'ends with a quote "',
    "back \\ slash \\n \\x41 \\N{BULLET}",
    "new\nline",
    "carriage\rreturn\r\nboth",
    "nul \x00 bell \x07 escape \x1b del \x7f nel \x85",
    "lone \ud800 surrogate \udfff",
    "bidi \u202e override \u2066 isolate \u2069",
    "line \u2028 and paragraph \u2029",
    "{braces} {{ jinja }} {% raw %} {# comment #} $name ${name} $$",
    "{__import__('os').system('touch canary')}",
    '"""\nimport pathlib; pathlib.Path("canary").touch()\n"""',
    "'); import pathlib; pathlib.Path('canary').touch(); ('",
    "{{ self._TemplateReference__context }}{% for x in ().__class__.__mro__ %}{% endfor %}",
    "# type: ignore\n# noqa",
    "🦊 " * 50,
    "\x0c form feed \t tab",
    "",
]


def rendered(plan: WorkflowPlan) -> str:
    return module.render(assign_names(plan), {}, module=NAME)


def loaded(text: str, folder: Path, name: str = "made_for_a_test") -> ModuleType:
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8", newline="\n")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    try:
        spec.loader.exec_module(made)
    finally:
        del sys.modules[name]
    return made


def hostile_plan(text: str) -> WorkflowPlan:
    """A plan that says `text` wherever a workflow or a server's schema can say something."""
    model = {"key": text, "hash": text, "name": text, "base": text, "type": text}
    common: dict[str, Any] = {
        "node_id": text,
        "node_type": text,
        "node_label": text,
        "node_title": text,
        "description": text,
        "sections": (text, text),
    }
    return a_plan(
        an_input(text, index=0, field_type="StringField", **common | {"value": text, "field_name": text}),
        an_input(text, index=1, choices=(text, "other"), choice_labels={text: text}, **common | {"value": text}),
        an_input(
            text,
            index=2,
            field_type="ModelIdentifierField",
            models=ModelLimits(base=(text,), type=(text,), variant=(text,), format=(text,)),
            **common | {"value": model},
        ),
        an_input(text, index=3, fed_by=text or "x", **common),
        an_input(text, index=4, field_type="FloatGeneratorField", **common | {"value": {text: [text, {text: 1}]}}),
        an_input(text, index=5, field_type=text or "x", **common | {"value": UNSET, "required": True}),
        an_output(text, node_type=text, node_label=text, node_title=text, board_input=0, sections=(text,)),
        name=text,
        author=text,
        description=text,
        version=text,
        contact=text,
        tags=text,
        notes=text,
        source=text,
        sha256=text,
        server_version=text,
        schema_fingerprint=text,
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_back_as_it_was_and_runs_nothing(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = rendered(hostile_plan(text))
    made = loaded(source, tmp_path)
    assert not (tmp_path / "canary").exists()
    inputs = made.Params.inputs()
    assert {item.label for item in inputs} == {text}
    assert inputs[0].node == inputs[0].field == text
    assert inputs[2].base == ((text,) if text else ("",))
    assert inputs[3].fed_by == (text or "x")
    fields = made.Params.__dataclass_fields__
    assert fields[inputs[0].name].default == text
    if "\ud800" not in text:  # no choice that could ever be made
        assert fields[inputs[1].name].default == text
    assert fields[inputs[4].name].default_factory() == {text: [text, {text: 1}]}
    assert source.isprintable() or all(char.isprintable() or char == "\n" for char in source)


@given(st.text())
@example("\\")
@example('"' * 7)
def test_any_text_is_one_string_literal(text: str) -> None:
    assert ast.literal_eval(literal(text)) == text
    doc = docstring(text, 4)
    assert isinstance(ast.literal_eval(doc), str)
    assert all(char.isprintable() or char == "\n" for char in doc)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
@settings(max_examples=50)
def test_any_data_is_a_literal(data: Any) -> None:
    assert ast.literal_eval(literal(data)) == data


@pytest.mark.parametrize("value", [float("inf"), float("nan"), object(), b"x", {1, 2}, Path("a")])
def test_nothing_else_is_a_literal(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match="has no literal"):
        literal(value)


@given(st.text(max_size=20))
@settings(max_examples=30, deadline=None)
def test_any_text_anywhere_gives_a_module_that_parses(text: str) -> None:
    tree = ast.parse(rendered(hostile_plan(text)))
    only_for_editors, as_program = [statement for statement in tree.body if isinstance(statement, ast.If)]
    assert ast.unparse(only_for_editors.test) == "TYPE_CHECKING"
    *imports, values = only_for_editors.body
    assert all(isinstance(statement, ast.ImportFrom) for statement in imports)
    assert isinstance(values, ast.ClassDef)
    assert ast.unparse(as_program) == (
        "if __name__ == '__main__':\n    from invokeai_gen.cli import run_module\n    run_module(__file__)"
    )
    kinds = {type(statement) for statement in tree.body} - {ast.If}
    assert kinds <= {
        *(ast.Expr, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    }


def test_line_ends_make_no_difference_to_what_is_read() -> None:
    unix = a_plan(an_input(description="one\ntwo"), description="a\n\nb", notes="c\nd")
    windows = a_plan(an_input(description="one\r\ntwo"), description="a\r\n\r\nb", notes="c\r\nd")
    assert rendered(windows) == rendered(unix)


def test_a_docstring_keeps_its_words() -> None:
    assert ast.literal_eval(docstring('say "hi"\r\n\r\nC:\\new  \n')) == 'say "hi"\n\nC:\\new\n'
    assert docstring("one\ntwo", 4) == '"""one\n    two\n    """'


def test_a_template_cannot_print_what_is_not_source() -> None:
    with pytest.raises(TypeError, match="is not source"):
        module.filled("run_all.py.template", text=cast("Source", "import os"))
    with pytest.raises(KeyError, match="docstring"):
        module.filled("module.py.template", text=Source("x"))


def sample_plan() -> WorkflowPlan:
    return assign_names(
        a_plan(
            an_input(
                "Prompt",
                index=0,
                field_type="StringField",
                value=UNSET,
                required=True,
                description="What to paint",
                node_label="Positive",
                node_type="string",
            ),
            an_input("Width", index=1, value=600, constraints=Constraints(ge=64, le=2048, multiple_of=8)),
            an_input(
                "Mode", index=2, field_type="EnumField", value="RGB", choices=("RGB", "L"), choice_labels={"L": "Grey"}
            ),
            an_input("Seed", index=3, fed_by="Random Integer"),
            an_output("save", board_input=None, sections=("Final Image",)),
            an_output("iterated", node_label="Variants", is_iterated=True),
            an_output("preview", role="debug"),
            name="SDXL then FLUX",
            author="A. Person",
            description="First one, then the other.\n\nSecond paragraph.",
            tags="sdxl, flux",
            notes="Needs 12 GB.",
            server_version="6.14.2",
            schema_fingerprint="f" * 64,
        )
    )


def test_the_whole_module_is_as_expected() -> None:
    golden = Path(__file__).with_name("expected") / "sdxl_flux_refine.py.txt"
    text = module.render(sample_plan(), {}, module=NAME)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")


def test_a_module_does_what_it_says(tmp_path: Path) -> None:
    made = loaded(module.render(sample_plan(), {}, module=NAME), tmp_path)
    assert made.Params(prompt="a fox").width == 600
    assert made.Outputs.__annotations__.keys() == {"final_image", "variants"}
    with pytest.raises(ValueError, match=r"Prompt \(prompt\) is required: the workflow has no usable value for it"):
        made.Params()
    with pytest.raises(ValueError, match=r"Seed \(seed\) cannot be set: in the workflow it is fed by node"):
        made.Params(prompt="a", seed=3)


def test_a_workflow_with_batches_can_return_many_results(tmp_path: Path) -> None:
    plan = replace(sample_plan(), batches=(PlanBatch("b", "strings", (("n", "value"),)),))
    made = loaded(module.render(plan, {}, module=NAME), tmp_path)
    assert {"run_all", "arun_all"} <= set(made.__all__)
    assert "for out in wf.run_all(wf.Params(" in (made.__doc__ or "")


def test_a_workflow_without_form_or_results_is_a_module_too(tmp_path: Path) -> None:
    made = loaded(rendered(a_plan()), tmp_path)
    assert made.Params().values() == {}


def test_the_text_does_not_depend_on_hash_seed_or_folder(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from tests.unit.test_module import NAME, module, sample_plan
        sys.stdout.buffer.write(module.render(sample_plan(), {}, module=NAME).encode())
        """
    )
    root = Path(__file__).parents[2]
    texts = set()
    for seed, folder in (("1", tmp_path), ("2", root)):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
        done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=env, capture_output=True, check=True)
        texts.add(done.stdout)
    assert texts == {module.render(sample_plan(), {}, module=NAME).encode()}


def test_the_example_gives_a_required_number_a_value_that_its_field_takes() -> None:
    width = an_input("Width", value=UNSET, required=True, constraints=Constraints(gt=0, multiple_of=8))
    text = docs.example(assign_names(a_plan(width)), module="fox", package="generated")
    assert "out = wf.run(wf.Params(width=8))" in text
