"""The models that a field accepts, as servers before InvokeAI 6.8 declare them: by a `ui_type` for each kind.

Newer servers use `ui_model_base`, `ui_model_type` and `ui_model_variant` instead, and translate the old names of custom
nodes in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from invokeai_gen.limits import ModelLimits

MODEL_FIELD: Final = "ModelIdentifierField"


def _main(*base: str) -> ModelLimits:
    return ModelLimits(type=("main",), base=base)


MODEL_UI_TYPES: Final[Mapping[str, ModelLimits]] = {
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
    "Veo3ModelField": ModelLimits(type=("video",), base=("veo3",)),
    "RunwayModelField": ModelLimits(type=("video",), base=("runway",)),
    "ONNXModelField": ModelLimits(type=("onnx",)),
    "VAEModelField": ModelLimits(type=("vae",)),
    "FluxVAEModelField": ModelLimits(type=("vae",), base=("flux",)),
    "LoRAModelField": ModelLimits(type=("lora",)),
    "ControlLoRAModelField": ModelLimits(type=("control_lora",)),
    "ControlNetModelField": ModelLimits(type=("controlnet",)),
    "IPAdapterModelField": ModelLimits(type=("ip_adapter",)),
    "T2IAdapterModelField": ModelLimits(type=("t2i_adapter",)),
    "T5EncoderModelField": ModelLimits(type=("t5_encoder",)),
    "CLIPEmbedModelField": ModelLimits(type=("clip_embed",)),
    "CLIPLEmbedModelField": ModelLimits(type=("clip_embed",), variant=("large",)),
    "CLIPGEmbedModelField": ModelLimits(type=("clip_embed",), variant=("gigantic",)),
    "SigLipModelField": ModelLimits(type=("siglip",)),
    "FluxReduxModelField": ModelLimits(type=("flux_redux",)),
    "LLaVAModelField": ModelLimits(type=("llava_onevision",)),
    "SpandrelImageToImageModelField": ModelLimits(type=("spandrel_image_to_image",)),
}
