"""Every release of InvokeAI 6: types come from what its own schema says."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from invokeai_gen.codegen.names import assign_names
from invokeai_gen.compiler import NotReadyError
from invokeai_gen.core.plan import PlanEdge
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import ModelRef
from invokeai_gen.schema.releases import RELEASE_OF
from invokeai_gen.sweeps.dynamic_workflow import params_type
from tests.schemas import release_schema, releases
from tests.schemas.figures import LIVE, PAGE, TABLE, figures_of, rows
from tests.unit.workflow_builder import Builder

RELEASES = releases()
TABLE_ROWS = json.loads(TABLE.read_bytes())


def test_the_table_has_every_release() -> None:
    assert list(TABLE_ROWS) == RELEASES
    assert rows(TABLE_ROWS) in PAGE.read_text(encoding="utf-8")
    assert [release for release, row in TABLE_ROWS.items() if "live" in row["tested"]] == list(LIVE)


@pytest.mark.parametrize("release", RELEASES)
def test_every_input_has_the_type_range_choices_and_requirement_of_the_schema(release: str) -> None:
    figures, wrong = figures_of(release_schema(release))
    print(release, figures)
    assert wrong == []
    assert (figures.types, figures.ranges, figures.choices) == (figures.inputs, figures.ranged, figures.chosen)
    assert asdict(figures).items() <= TABLE_ROWS[release].items()


@pytest.mark.parametrize("release", RELEASES)
def test_a_model_is_a_name_or_a_reference_of_the_right_base_and_type(release: str) -> None:
    builder = Builder(release_schema(release)).node("load", "sdxl_model_loader").field("load.model")
    (model,) = assign_names(builder.compile().plan).inputs
    assert (model.models.base, model.models.type) == (("sdxl",), ("main",))
    params: Any = params_type(assign_names(builder.compile().plan))
    assert params(model="dreamshaper").model == "dreamshaper"
    assert params(model=ModelRef(name="juggernaut", base="sdxl", type="main"))
    for wrong in ({"kei": "nonsense"}, ModelRef(name="dreamshaper", base="sd-1", type="main"), 7):
        with pytest.raises(ParamsError, match="Model"):
            params(model=wrong)


@pytest.mark.parametrize("release", RELEASES)
def test_a_model_goes_through_an_edge(release: str) -> None:
    builder = Builder(release_schema(release)).node("pick", "model_identifier").node("net", "controlnet")
    compilation = builder.edge("pick.model", "net.control_model").compile(validate=False)
    assert compilation.plan.edges == (PlanEdge("pick", "model", "net", "control_model"),)
    assert compilation.warnings == ()


@pytest.mark.parametrize("release", RELEASES)
def test_every_node_type_is_known_since_its_release(release: str) -> None:
    since = {node_type: RELEASE_OF.get(node_type) for node_type in release_schema(release).node_types}
    minor = [int(part) for part in release.split(".")[:2]]
    assert all([int(part) for part in first.split(".")] <= minor for first in since.values() if first is not None)
    missing = set(release_schema(RELEASES[-1]).node_types) - since.keys()
    assert missing <= RELEASE_OF.keys()


def test_a_workflow_for_a_newer_server_is_refused_in_one_line() -> None:
    builder = Builder(release_schema("6.14.2")).node("load", "wan_model_loader").node("run", "wan_denoise")
    builder.node("show", "wan_l2v").edge("load.transformer", "run.transformer").edge("run.latents", "show.latents")
    builder.node("keep", "save_image").node("canvas", "canvas_output").edge("canvas.image", "keep.image")
    builder.schema = release_schema("6.8.1")
    with pytest.raises(NotReadyError) as refusal:
        builder.compile()
    assert str(refusal.value) == (
        "needs InvokeAI 6.14 or newer (the server has 6.8.1): wan_model_loader, wan_denoise, wan_l2v, canvas_output"
    )
