"""Small plans written by hand, so that tests of the runtime need neither compiler nor generator."""

from __future__ import annotations

from typing import Annotated, Any

from invokeai_gen import (
    BoardInput,
    ImageInput,
    ImageOutput,
    Input,
    LatentsOutput,
    LoRA,
    ModelInput,
    VideoInput,
    VideoOutput,
    Workflow,
    WorkflowOutputs,
    WorkflowParams,
    params,
)
from invokeai_gen.core.plan import (
    Constraints,
    FieldLimits,
    PlanBatch,
    PlanEdge,
    PlanField,
    PlannedInput,
    PlannedOutput,
    PlanNode,
    WorkflowInfo,
    WorkflowPlan,
)
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import ModelLimits

IMAGE_FIELDS = {"image": "ImageField", "width": "IntegerField", "height": "IntegerField"}


def node(
    id: str, type: str, label: str = "", *, final: bool = False, use_cache: bool = True, **fields: Any
) -> PlanNode:
    """A node; a field whose value is `...` is fed by an edge, one called `board` is a board."""
    made = tuple(
        PlanField(
            name=name,
            value=UNSET if value is ... else value,
            is_board=name == "board",
            is_connected=value is ...,
        )
        for name, value in fields.items()
    )
    is_executable = not type.endswith(("_batch", "_generator"))
    return PlanNode(
        id=id,
        type=type,
        label=label or type,
        fields=made,
        use_cache=use_cache,
        is_intermediate=not final,
        is_executable=is_executable,
    )


def form_field(
    index: int, label: str, node_id: str, node_type: str, name: str, kind: str, value: Any, **more: Any
) -> PlannedInput:
    """An entry of the form."""
    return PlannedInput(
        index=index,
        label=label,
        node_id=node_id,
        node_type=node_type,
        node_label="",
        node_title=node_type,
        field_name=name,
        field_type=kind,
        value=value,
        name=more.pop("py", label.lower().replace(" ", "_")),
        **more,
    )


def image_output(node_id: str, node_type: str, name: str, role: Any = "user", **more: Any) -> PlannedOutput:
    """A node that returns an image."""
    return PlannedOutput(
        node_id=node_id,
        node_type=node_type,
        node_label="",
        node_title=node_type,
        output_type="image_output",
        output_fields=IMAGE_FIELDS,
        role=role,
        name=name,
        **more,
    )


def plan(
    name: str,
    nodes: list[PlanNode],
    edges: list[tuple[str, str, str, str]],
    inputs: list[PlannedInput],
    outputs: list[PlannedOutput],
    batches: list[PlanBatch] | None = None,
) -> WorkflowPlan:
    """A plan that stores no workflow with its images."""
    return WorkflowPlan(
        info=WorkflowInfo(name=name),
        nodes=tuple(nodes),
        edges=tuple(PlanEdge(*edge) for edge in edges),
        batches=tuple(batches or ()),
        workflow=None,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


@params
class PictureParams(WorkflowParams):
    width: Annotated[int, Input(0, node="blank", field="width", label="Width")] = 64
    color: Annotated[Any, Input(1, node="blank", field="color", label="Color")] = "#ff8000"
    board: Annotated[BoardInput, Input(2, node="save", field="board", label="Board")] = "none"


class PictureOutputs(WorkflowOutputs):
    picture: ImageOutput
    blurred: ImageOutput


def picture(*, use_cache: bool = False) -> Workflow[PictureParams, PictureOutputs]:
    """blank_image → img_blur → save_image."""
    made = plan(
        "A picture",
        [
            node("blank", "blank_image", "Canvas", width=64, height=48, mode="RGB", color={"r": 0, "g": 0, "b": 0, "a": 255},
                 use_cache=use_cache),
            node("blur", "img_blur", "Soften", image=..., radius=2, blur_type="gaussian", use_cache=use_cache),
            node("save", "save_image", "Keep", board="auto", image=..., final=True, use_cache=False),
        ],
        [("blank", "image", "blur", "image"), ("blur", "image", "save", "image")],
        [
            form_field(0, "Width", "blank", "blank_image", "width", "IntegerField", 64),
            form_field(1, "Color", "blank", "blank_image", "color", "ColorField", {"r": 0, "g": 0, "b": 0, "a": 255}),
            form_field(2, "Board", "save", "save_image", "board", "BoardField", "auto"),
        ],
        [image_output("save", "save_image", "picture", board_input=2), image_output("blur", "img_blur", "blurred", "debug")],
    )  # fmt: skip
    return Workflow(made, params=PictureParams, outputs=PictureOutputs)


@params
class ResizeParams(WorkflowParams):
    picture: Annotated[ImageInput | None, Input(0, node="resize", field="image", label="Picture")] = None
    width: Annotated[int, Input(1, node="resize", field="width", label="New Width")] = 32


class ResizeOutputs(WorkflowOutputs):
    small: ImageOutput


def resize() -> Workflow[ResizeParams, ResizeOutputs]:
    """img_resize of an image that is given; fails on the server where that does not exist."""
    made = plan(
        "Resize",
        [node("resize", "img_resize", "Shrink", image=UNSET, width=32, height=32, final=True, use_cache=False)],
        [],
        [
            form_field(0, "Picture", "resize", "img_resize", "image", "ImageField", UNSET, required=True),
            form_field(1, "New Width", "resize", "img_resize", "width", "IntegerField", 32, py="width"),
        ],
        [image_output("resize", "img_resize", "small", "result")],
    )
    return Workflow(made, params=ResizeParams, outputs=ResizeOutputs)


@params
class NoParams(WorkflowParams):
    pass


class IteratedOutputs(WorkflowOutputs):
    each: list[ImageOutput]
    all_of_them: list[ImageOutput]


def iterated() -> Workflow[NoParams, IteratedOutputs]:
    """integer_collection → iterate → blank_image (of that width) → collect."""
    made = plan(
        "Iterate",
        [
            node("widths", "integer_collection", collection=[16, 24, 32, 40]),
            node("iterate", "iterate", collection=...),
            node("blank", "blank_image", "Each", width=..., height=16, mode="RGB", color={"r": 9, "g": 9, "b": 9, "a": 255},
                 final=True, use_cache=False),
            node("collect", "collect", "All", item=...),
            node("images", "image_collection", "All of them", collection=..., use_cache=False),
        ],
        [
            ("widths", "collection", "iterate", "collection"),
            ("iterate", "item", "blank", "width"),
            ("blank", "image", "collect", "item"),
            ("collect", "collection", "images", "collection"),
        ],
        [],
        [
            image_output("blank", "blank_image", "each", "result", is_iterated=True),
            PlannedOutput(node_id="images", node_type="image_collection", node_label="", node_title="Images",
                          output_type="image_collection_output", output_fields={"collection": "list[ImageField]"},
                          role="result", name="all_of_them"),
        ],
    )  # fmt: skip
    return Workflow(made, params=NoParams, outputs=IteratedOutputs)


@params
class BatchParams(WorkflowParams):
    widths: Annotated[list[int], Input(0, node="batch", field="integers", label="Widths")]


def batched() -> Workflow[BatchParams, PictureOutputs]:
    """A batch of integers that feeds the width of a blank_image."""
    made = plan(
        "Batch",
        [
            node("batch", "integer_batch", integers=[16, 32], batch_group_id="None"),
            node("blank", "blank_image", width=64, height=16, mode="RGB", color={"r": 1, "g": 2, "b": 3, "a": 255},
                 final=True, use_cache=False),
        ],
        [],
        [form_field(0, "Widths", "batch", "integer_batch", "integers", "IntegerField", [16, 32], cardinality="COLLECTION")],
        [image_output("blank", "blank_image", "picture", "result")],
        [PlanBatch("batch", "integers", (("blank", "width"),))],
    )  # fmt: skip
    return Workflow(made, params=BatchParams, outputs=PictureOutputs)


@params
class TextToImageParams(WorkflowParams):
    model: Annotated[
        ModelInput, Input(0, node="loader", field="model", label="Model", base=("sd-1",), type=("main",))
    ] = "tiny-sd15"
    prompt: Annotated[str, Input(1, node="positive", field="prompt", label="Prompt")] = "a fox"
    steps: Annotated[int, Input(2, node="denoise", field="steps", label="Steps")] = 2
    seed: Annotated[int, Input(3, node="noise", field="seed", label="Seed")] = 0


class TextToImageOutputs(WorkflowOutputs):
    picture: ImageOutput
    latents: LatentsOutput


def text_to_image() -> Workflow[TextToImageParams, TextToImageOutputs]:
    """SD 1.5, 64x64; with many steps it takes as long as one likes."""
    made = plan(
        "Text to image",
        [
            node("loader", "main_model_loader", "Load", model=UNSET),
            node("positive", "compel", "Prompt", prompt="", clip=...),
            node("negative", "compel", "Not", prompt="", clip=...),
            node("noise", "noise", seed=0, width=64, height=64, use_cpu=True),
            node("denoise", "denoise_latents", "Denoise", positive_conditioning=..., negative_conditioning=..., noise=...,
                 unet=..., steps=2, cfg_scale=7.5, denoising_start=0, denoising_end=1, scheduler="euler", use_cache=False),
            node("decode", "l2i", "Decode", latents=..., vae=..., final=True, use_cache=False),
        ],
        [
            ("loader", "unet", "denoise", "unet"),
            ("loader", "clip", "positive", "clip"),
            ("loader", "clip", "negative", "clip"),
            ("loader", "vae", "decode", "vae"),
            ("positive", "conditioning", "denoise", "positive_conditioning"),
            ("negative", "conditioning", "denoise", "negative_conditioning"),
            ("noise", "noise", "denoise", "noise"),
            ("denoise", "latents", "decode", "latents"),
        ],
        [
            form_field(0, "Model", "loader", "main_model_loader", "model", "ModelIdentifierField", UNSET, required=True,
                       models=ModelLimits(base=("sd-1",), type=("main",))),
            form_field(1, "Prompt", "positive", "compel", "prompt", "StringField", ""),
            form_field(2, "Steps", "denoise", "denoise_latents", "steps", "IntegerField", 2),
            form_field(3, "Seed", "noise", "noise", "seed", "IntegerField", 0),
        ],
        [
            image_output("decode", "l2i", "picture", "result"),
            PlannedOutput(node_id="denoise", node_type="denoise_latents", node_label="", node_title="Denoise",
                          output_type="latents_output",
                          output_fields={"latents": "LatentsField", "width": "IntegerField", "height": "IntegerField"},
                          role="debug", name="latents"),
        ],
    )  # fmt: skip
    return Workflow(made, params=TextToImageParams, outputs=TextToImageOutputs)


@params
class PromptsParams(WorkflowParams):
    prompts: Annotated[dict[str, Any], Input(0, node="generator", field="generator", label="Prompts")]


class PromptsOutputs(WorkflowOutputs):
    prompt: str


def prompts() -> Workflow[PromptsParams, PromptsOutputs]:
    """A string_generator → string_batch → string."""
    made = plan(
        "Prompts",
        [
            node("generator", "string_generator", generator={}),
            node("batch", "string_batch", strings=[], batch_group_id="None"),
            node("text", "string", "Text", value="", use_cache=False),
        ],
        [],
        [form_field(0, "Prompts", "generator", "string_generator", "generator", "StringGeneratorField", {})],
        [
            PlannedOutput(node_id="text", node_type="string", node_label="", node_title="Text", output_type="string_output",
                          output_fields={"value": "StringField"}, role="result", name="prompt"),
        ],
        [PlanBatch("batch", "strings", (("text", "value"),), "generator", (FieldLimits(field_type="StringField"),))],
    )  # fmt: skip
    return Workflow(made, params=PromptsParams, outputs=PromptsOutputs)


@params
class BoardImagesParams(WorkflowParams):
    images: Annotated[dict[str, Any], Input(0, node="generator", field="generator", label="Images")]


def board_images() -> Workflow[BoardImagesParams, ResizeOutputs]:
    """An image_generator → image_batch → img_resize."""
    made = plan(
        "Images of a board",
        [
            node("generator", "image_generator", generator={}),
            node("batch", "image_batch", images=[], batch_group_id="None"),
            node("resize", "img_resize", "Shrink", image=UNSET, width=8, height=8, final=True, use_cache=False),
        ],
        [],
        [form_field(0, "Images", "generator", "image_generator", "generator", "ImageGeneratorField", {})],
        [image_output("resize", "img_resize", "small", "result")],
        [PlanBatch("batch", "images", (("resize", "image"),), "generator", (FieldLimits(field_type="ImageField"),))],
    )
    return Workflow(made, params=BoardImagesParams, outputs=ResizeOutputs)


@params
class CutParams(WorkflowParams):
    video: Annotated[VideoInput, Input(0, node="cut", field="video", label="Video")]
    last_frame: Annotated[int, Input(1, node="cut", field="end_frame", label="Last Frame")] = 3


class CutOutputs(WorkflowOutputs):
    part: VideoOutput


def cut() -> Workflow[CutParams, CutOutputs]:
    """extract_video_range of a video that is given."""
    made = plan(
        "Cut",
        [node("cut", "extract_video_range", "Cut", video=UNSET, start_frame=0, end_frame=3, fps=0, board="none",
              final=True, use_cache=False)],
        [],
        [
            form_field(0, "Video", "cut", "extract_video_range", "video", "VideoField", UNSET, required=True),
            form_field(1, "Last Frame", "cut", "extract_video_range", "end_frame", "IntegerField", 3),
        ],
        [
            PlannedOutput(node_id="cut", node_type="extract_video_range", node_label="", node_title="Cut",
                          output_type="video_output",
                          output_fields={"video": "VideoField", "width": "IntegerField", "height": "IntegerField"},
                          role="result", name="part"),
        ],
    )  # fmt: skip
    return Workflow(made, params=CutParams, outputs=CutOutputs)


@params
class LorasParams(WorkflowParams):
    loras: Annotated[LoRA | list[LoRA], Input(0, node="loras", field="loras", label="LoRAs")]
    model: Annotated[ModelInput, Input(1, node="loader", field="model", label="Model")] = "tiny-sd15"


def loras() -> Workflow[LorasParams, WorkflowOutputs]:
    """main_model_loader → lora_collection_loader."""
    made = plan(
        "LoRAs",
        [
            node("loader", "main_model_loader", model=UNSET),
            node("loras", "lora_collection_loader", loras=UNSET, unet=..., clip=..., use_cache=False),
        ],
        [("loader", "unet", "loras", "unet"), ("loader", "clip", "loras", "clip")],
        [
            form_field(0, "LoRAs", "loras", "lora_collection_loader", "loras", "LoRAField", UNSET,
                       cardinality="SINGLE_OR_COLLECTION", models=ModelLimits(base=("sd-1",), type=("lora",))),
            form_field(1, "Model", "loader", "main_model_loader", "model", "ModelIdentifierField", UNSET, required=True,
                       models=ModelLimits(base=("sd-1",), type=("main",))),
        ],
        [],
    )  # fmt: skip
    return Workflow(made, params=LorasParams, outputs=WorkflowOutputs)


@params
class ShrinkAllParams(WorkflowParams):
    pictures: Annotated[list[ImageInput], Input(0, node="batch", field="images", label="Pictures")]


def shrink_all() -> Workflow[ShrinkAllParams, ResizeOutputs]:
    """An image_batch → img_resize."""
    made = plan(
        "Shrink all",
        [
            node("batch", "image_batch", images=[], batch_group_id="None"),
            node("resize", "img_resize", "Shrink", image=UNSET, width=8, height=8, final=True, use_cache=False),
        ],
        [],
        [form_field(0, "Pictures", "batch", "image_batch", "images", "ImageField", [], cardinality="COLLECTION")],
        [image_output("resize", "img_resize", "small", "result")],
        [PlanBatch("batch", "images", (("resize", "image"),))],
    )
    return Workflow(made, params=ShrinkAllParams, outputs=ResizeOutputs)


def noises() -> Workflow[BatchParams, WorkflowOutputs]:
    """A batch of integers that feeds the width of a noise, which must be a multiple of 8."""
    made = plan(
        "Noises",
        [
            node("batch", "integer_batch", integers=[], batch_group_id="None"),
            node("noise", "noise", "Noise", seed=0, width=64, height=64, use_cpu=True),
        ],
        [],
        [form_field(0, "Widths", "batch", "integer_batch", "integers", "IntegerField", [], cardinality="COLLECTION")],
        [],
        [
            PlanBatch(
                "batch",
                "integers",
                (("noise", "width"),),
                target_limits=(FieldLimits(field_type="IntegerField", constraints=Constraints(gt=0, multiple_of=8)),),
            )
        ],
    )
    return Workflow(made, params=BatchParams, outputs=WorkflowOutputs)
