"""One project with generated modules, for everything that looks at them as a person's tools would."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from invokeai_gen.codegen.writer import generate
from invokeai_gen.compiler import compile_workflow
from invokeai_gen.core.plan import Constraints, PlanBatch, WorkflowPlan
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import ModelLimits
from invokeai_gen.schema import shipped_schema
from invokeai_gen.workflow import read_workflow_file
from tests.plan_factory import a_plan, an_input, an_output

ROOT = Path(__file__).parents[2]
USAGE = Path(__file__).with_name("usage.py.txt").read_text(encoding="utf-8")

MODEL = {"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main"}
SCHEMAS = {"Tile": {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}}
SCHEDULERS = ("ddim", "euler", "lcm")


def everything() -> WorkflowPlan:
    """A workflow with an input of every kind."""
    return a_plan(
        an_input("Prompt", index=0, field_type="StringField", value=UNSET, required=True),
        an_input("Start Image", index=1, field_type="ImageField", value=UNSET, required=True),
        an_input("Tile", index=2, field_type="Tile", value=UNSET, required=True),
        an_input("Width", index=3, value=512, constraints=Constraints(ge=64, le=2048, multiple_of=8)),
        an_input("CFG", index=4, field_type="FloatField", value=7, constraints=Constraints(gt=0)),
        an_input("Scheduler", index=5, field_type="SchedulerField", value="euler", choices=SCHEDULERS),
        an_input("Mode", index=6, field_type="EnumField", value="RGB", choices=("RGB", "RGBA")),
        an_input("Color", index=7, field_type="ColorField", value={"r": 1, "g": 2, "b": 3, "a": 4}),
        an_input(
            "Model",
            index=8,
            field_type="ModelIdentifierField",
            value=MODEL,
            required=True,
            models=ModelLimits(base=("sdxl",), type=("main",)),
        ),
        an_input("VAE", index=9, field_type="ModelIdentifierField", value=UNSET),
        an_input("Board", index=10, field_type="BoardField", value={"board_id": "b"}),
        an_input(
            "LoRAs", index=11, field_type="LoRAField", cardinality="COLLECTION", value=[{"lora": MODEL, "weight": 1}]
        ),
        an_input("Weights", index=12, field_type="FloatField", cardinality="SINGLE_OR_COLLECTION", value=[0.5]),
        an_input("Flag", index=13, field_type="BooleanField", value=False),
        an_input("Box", index=14, field_type="BoundingBoxField", value=UNSET),
        an_input("Seed", index=15, fed_by="Random Integer"),
        an_input("Generator", index=16, field_type="FloatGeneratorField", value={"type": "x", "values": [1]}),
        an_input("Anything", index=17, field_type="AnyField", value=UNSET),
        an_input("Strings", index=18, field_type="StringField", cardinality="COLLECTION", value=[]),
        an_input("Video", index=19, field_type="VideoField", value=UNSET),
        an_output("picture", node_label="Picture"),
        an_output("variants", node_label="Variants", is_iterated=True),
        an_output("total", node_label="Total", output_fields={"value": "IntegerField"}),
        an_output("tint", node_label="Tint", output_fields={"color": "ColorField"}),
        an_output("boxes", node_label="Boxes", output_fields={"collection": "list[BoundingBoxField]"}),
        an_output("mask", node_label="Mask", output_fields={"mask": "TensorField", "width": "IntegerField"}),
        an_output("odd", node_label="Odd", output_fields={"a": "UNetField", "b": "VAEField"}),
        an_output("latents", node_label="Latents", output_fields={"latents": "LatentsField"}),
        an_output("conditioning", node_label="Conditioning", output_fields={"c": "FluxConditioningField"}),
        an_output("video", node_label="Video", output_fields={"video": "VideoField"}),
        an_output("images", node_label="Images", output_fields={"collection": "list[ImageField]"}),
    )


def workflows() -> Iterator[Path]:
    """Our own examples, and where there is one the corpus."""
    yield from sorted((ROOT / "data" / "workflows").glob("*.json"))
    corpus = os.environ.get("INVOKEAI_GEN_CORPUS")
    yield from sorted(Path(corpus).glob("gui/*/workflow.json")) if corpus else ()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a generated package and a program that uses it."""
    folder = tmp_path_factory.mktemp("project")
    schema, plans = shipped_schema(), {PurePath("everything.json"): everything()}
    plans[PurePath("batch.json")] = replace(everything(), batches=(PlanBatch("b", "strings", (("n", "value"),)),))
    for path in workflows():
        try:
            plans[PurePath(f"{path.parent.name}-{path.name}")] = compile_workflow(read_workflow_file(path), schema).plan
        except InvokeAIGenError:
            continue
    generate(plans, folder / "generated", schemas={**schema.schemas, **SCHEMAS})
    (folder / "usage.py").write_text(USAGE, encoding="utf-8")
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", "include": ["."]}))
    return folder
