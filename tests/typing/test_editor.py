"""What an editor shows to someone who writes `wf.Params(`: asked of a real language server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.typing.language_server import LanguageServer

INPUTS = {
    "prompt",
    "start_image",
    "tile",
    "width",
    "cfg",
    "scheduler",
    "mode",
    "color",
    "model",
    "vae",
    "board",
    "loras",
}


@pytest.fixture(scope="module")
def editor(project: Path) -> Iterator[LanguageServer]:
    with LanguageServer.on(project) as server:
        yield server


def test_params_offers_its_inputs(editor: LanguageServer) -> None:
    offered = editor.completions("from generated import everything as wf\n\nwf.Params(|)\n")
    names = {item["label"].removesuffix("=") for item in offered if item["label"].endswith("=")}
    assert names >= INPUTS
    assert "seed" not in names, "fed by an edge"


def test_choices_are_offered(editor: LanguageServer) -> None:
    offered = editor.completions("from generated import everything as wf\n\nwf.Params(scheduler=|)\n")
    assert {"ddim", "euler", "lcm"} <= {item["label"].strip("'\"") for item in offered}


def test_the_package_offers_its_modules_and_a_run_its_outputs(editor: LanguageServer) -> None:
    offered = editor.completions("import generated\n\ngenerated.|\n")
    assert {"everything", "batch"} <= {item["label"] for item in offered}
    offered = editor.completions(
        "from generated import everything as wf\n\n\ndef show(out: wf.Outputs) -> None:\n    out.|\n"
    )
    assert {"picture", "variants", "total"} <= {item["label"] for item in offered}


def test_hovering_an_input_shows_its_type_and_what_it_is_for(editor: LanguageServer) -> None:
    shown = editor.hover(
        "from generated import everything as wf\n\n\ndef show(params: wf.Params) -> None:\n    params.wid|th\n"
    )
    assert "width: int" in shown
    assert "64 to 2048, a multiple of 8. Default 512." in shown
    assert "Input 3: `integer.value`." in shown


def test_hovering_a_module_shows_what_the_workflow_is(editor: LanguageServer) -> None:
    shown = editor.hover("from generated import everyth|ing as wf\n\nprint(wf)\n")
    assert "A workflow." in shown
    assert "out = wf.run(wf.Params(" in shown


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('prompt="a", start_image="b"', 'Argument missing for parameter "tile"'),
        ('prompt="a", start_image="b", tile={"size": 1}, widht=3', 'No parameter named "widht"'),
        ('prompt="a", start_image="b", tile={"size": 1}, width="3"', 'is not assignable to "int"'),
        ('prompt="a", start_image="b", tile={"size": 1}, scheduler="eular"', "scheduler"),
        ('prompt="a", start_image="b", tile={"size": 1}, seed=3', 'No parameter named "seed"'),
    ],
)
def test_mistakes_are_underlined(editor: LanguageServer, call: str, message: str) -> None:
    (found,) = editor.diagnostics(f"from generated import everything as wf\n\nwf.Params({call})\n")
    assert message in found


def test_what_is_right_is_not(editor: LanguageServer) -> None:
    call = 'wf.Params(prompt="a", start_image="b", tile={"size": 1}, width=64)'
    assert editor.diagnostics(f"from generated import everything as wf\n\n{call}\n") == []


def test_a_sweep_offers_the_inputs_that_can_change(editor: LanguageServer) -> None:
    offered = editor.completions('from generated import everything as wf\n\nwf.sweep(product={"|"})\n')
    names = {item["label"].strip("'\"") for item in offered}
    assert names >= INPUTS
    assert "seed" not in names, "fed by an edge"
