"""What programs and notebooks read off a generated module: type hints, signatures, iteration."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import pydantic
import pytest

from generated import color_study_batch, three_stage_refine
from invokeai_gen import InvokeAIClient, RunOptions, Sweep, SweepOptions

FUNCTIONS = [name for name in color_study_batch.__all__ if name[0].islower()]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_type_hints_of_every_function_resolve(name: str) -> None:
    function = getattr(color_study_batch, name)
    hints = typing.get_type_hints(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}
    assert not [hint for hint in hints.values() if isinstance(hint, (str, typing.ForwardRef))]


def test_type_hints_are_the_real_types() -> None:
    hints = typing.get_type_hints(three_stage_refine.run)
    assert hints["params"] is three_stage_refine.Params
    assert hints["client"] == InvokeAIClient | None
    assert hints["return"] is three_stage_refine.Outputs
    assert typing.get_origin(typing.get_type_hints(three_stage_refine.sweep)["return"]) is Sweep


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pydantic_can_validate_a_call(name: str) -> None:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    checked = pydantic.validate_call(config=config)(getattr(color_study_batch, name))
    with pytest.raises(pydantic.ValidationError):
        answer = checked(client="no client")
        if inspect.iscoroutine(answer):
            answer.send(None)


def test_importing_a_module_evaluates_no_hint() -> None:
    script = (
        "import sys; from generated import color_study_batch\n"
        "print([name for name in sys.modules if name in ('httpx', 'invokeai_gen.client', 'invokeai_gen.runtime.job')])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_signature_of_params_is_short_and_has_every_input() -> None:
    signature = inspect.signature(three_stage_refine.Params)
    assert list(signature.parameters) == [item.name for item in three_stage_refine.Params.inputs()]
    text = str(signature)
    assert len(text) < 1_500
    assert "width: int = 512" in text
    assert "draft_scheduler: Literal['ddim', 'ddpm', 'deis', 'deis_k', 'lms', …] = 'euler_a'" in text
    assert "Annotated" not in text
    assert "blake3" not in text


def test_an_input_in_an_annotation_is_short() -> None:
    assert repr(color_study_batch.Params.inputs()[4]) == "Input(4, label='Width')"


def test_iterating_over_params_gives_the_values_and_ends() -> None:
    params = color_study_batch.Params(width=64)
    assert [*params][3:5] == [params.base_color, 64]
    assert len([*params]) == len(color_study_batch.Params.inputs())


@pytest.mark.parametrize(("name", "options"), [("run", RunOptions), ("submit", RunOptions), ("sweep", SweepOptions)])
def test_docstrings_name_options_that_exist(name: str, options: type) -> None:
    doc = getattr(color_study_batch, name).__doc__.partition("Options:")[2].partition("Raises")[0]
    named = set(re.findall(r"`([a-z_]+)`", doc))
    assert len(named) >= 4
    assert named <= set(typing.get_type_hints(options))


def test_the_only_image_is_also_called_image() -> None:
    assert color_study_batch.Outputs.image.__doc__ == "The only image of the workflow, `study`."
    assert not hasattr(three_stage_refine.Outputs, "image")
