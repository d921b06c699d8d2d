"""The InvokeAI release that introduced each node type, to name the server that a workflow needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_ADDED: Final[Mapping[str, str]] = {
    "6.3": """
        flux_kontext_image_prep
    """,
    "6.10": """
        pbr_maps prompt_template z_image_control z_image_denoise z_image_denoise_meta z_image_i2l z_image_l2i
        z_image_lora_collection_loader z_image_lora_loader z_image_model_loader z_image_text_encoder
    """,
    "6.11": """
        flux2_denoise flux2_klein_model_loader flux2_klein_text_encoder flux2_vae_decode flux2_vae_encode
        z_image_seed_variance_enhancer
    """,
    "6.12": """
        flux2_klein_lora_collection_loader flux2_klein_lora_loader
    """,
    "6.13": """
        alibabacloud_image_generation anima_denoise anima_i2l anima_l2i anima_lora_collection_loader
        anima_lora_loader anima_model_loader anima_text_encoder canvas_output decode_watermark
        gemini_image_generation if img_hue_adjust_oklch openai_image_generation qwen_image_denoise
        qwen_image_i2l qwen_image_l2i qwen_image_lora_collection_loader qwen_image_lora_loader
        qwen_image_model_loader qwen_image_text_encoder save_image_to_file seedream_image_generation text_llm
        unsharp_mask_oklab
    """,
    "6.14": """
        anima_denoise_meta anima_lllite call_saved_workflow ernie_image_denoise ernie_image_model_loader
        ernie_image_prompt_enhancer ernie_image_text_encoder ernie_image_vae_decode extract_video_range
        flux2_dev_lora_collection_loader flux2_dev_lora_loader flux2_dev_model_loader flux2_dev_text_encoder
        flux2_pid_decode flux_pid_decode gemma2_encoder_loader ideogram4_caption_builder ideogram4_denoise
        ideogram4_l2i ideogram4_model_loader ideogram4_text_encoder krea2_conditioning_rebalance krea2_denoise
        krea2_lora_collection_loader krea2_lora_loader krea2_model_loader krea2_seed_variance
        krea2_style_reference krea2_text_encoder pid_decoder_loader pid_upscale qwen_image_pid_decode
        sd3_pid_decode sdxl_pid_decode text_llm_with_preset video video_concat video_frame_extract wan_denoise
        wan_i2l wan_i2v_ideal_dimensions wan_l2i wan_l2v wan_lora_collection_loader wan_lora_loader
        wan_model_loader wan_ref_image_encoder wan_text_encoder wan_ti2v_ideal_dimensions wan_video_denoise
        workflow_return workflow_return_get workflow_return_value z_image_pid_decode
    """,
}
"""Release to the node types that came with it, as far as the tested releases show; all others are as old as 6.0."""

RELEASE_OF: Final[Mapping[str, str]] = {
    node_type: release for release, node_types in _ADDED.items() for node_type in node_types.split()
}
"""The release that introduced a node type of InvokeAI itself, such as `6.14`; none for those that 6.0 already had."""


def newest(releases: Iterable[str]) -> str:
    """Return the newest of some releases."""
    return max(releases, key=lambda release: [int(part) for part in release.split(".")])
