"""The models that a field accepts, as servers before InvokeAI 6.8 declare them: by a `ui_type` for each kind.

Newer servers use `ui_model_base`, `ui_model_type` and `ui_model_variant` instead, and translate the old names of custom
nodes in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MODEL_FIELD: Final = "ModelIdentifierField"


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """The models that a field accepts; an empty tuple means any."""

    type: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()


def _main(*base: str) -> ModelFilter:
    return ModelFilter(("main",), base)


MODEL_UI_TYPES: Final[Mapping[str, ModelFilter]] = {
    "MainModelField": _main("sd-1", "sd-2"),
    "SDXLMainModelField": _main("sdxl"),
    "SDXLRefinerModelField": _main("sdxl-refiner"),
    "SD3MainModelField": _main("sd-3"),
    "FluxMainModelField": _main("flux"),
    "CogView4MainModelField": _main("cogview4"),
    "Imagen3ModelField": _main("imagen3"),
    "Imagen4ModelField": _main("imagen4"),
    "ChatGPT4oModelField": _main("chatgpt-4o"),
    "Gemini2_5ModelField": _main("gemini-2.5"),
    "FluxKontextModelField": _main("flux-kontext"),
    "Veo3ModelField": ModelFilter(("video",), ("veo3",)),
    "RunwayModelField": ModelFilter(("video",), ("runway",)),
    "ONNXModelField": ModelFilter(("onnx",)),
    "VAEModelField": ModelFilter(("vae",)),
    "FluxVAEModelField": ModelFilter(("vae",), ("flux",)),
    "LoRAModelField": ModelFilter(("lora",)),
    "ControlLoRAModelField": ModelFilter(("control_lora",)),
    "ControlNetModelField": ModelFilter(("controlnet",)),
    "IPAdapterModelField": ModelFilter(("ip_adapter",)),
    "T2IAdapterModelField": ModelFilter(("t2i_adapter",)),
    "T5EncoderModelField": ModelFilter(("t5_encoder",)),
    "CLIPEmbedModelField": ModelFilter(("clip_embed",)),
    "CLIPLEmbedModelField": ModelFilter(("clip_embed",), variant=("large",)),
    "CLIPGEmbedModelField": ModelFilter(("clip_embed",), variant=("gigantic",)),
    "SigLipModelField": ModelFilter(("siglip",)),
    "FluxReduxModelField": ModelFilter(("flux_redux",)),
    "LLaVAModelField": ModelFilter(("llava_onevision",)),
    "SpandrelImageToImageModelField": ModelFilter(("spandrel_image_to_image",)),
}
