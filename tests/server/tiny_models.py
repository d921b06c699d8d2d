"""Make tiny models with random weights that InvokeAI identifies, installs and runs on a CPU in well under a second.

Runs in a server's own environment, as ``python -P tiny_models.py FOLDER``: torch, diffusers and transformers are
imported by name because our development environment has none of them. Seeded: the same releases give the same files.
Only what InvokeAI looks at to tell a model's kind has its real size (the width of the text embeddings, the number of
latent channels, the scaling factor); everything else is as small as diffusers allows.
"""

import json
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

Base = Literal["sd15", "sdxl"]

SEED = 20240229
CLIP_L, CLIP_BIG_G = 768, 1280
"""Widths of the text encoders: SD 1.5 has the first, SDXL has both side by side."""

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
MERGES = ["t h", "th e</w>", "a n", "an d</w>", "i n", "e r", "o n", "a t", "a t</w>", "c at</w>"]


def seeded_torch(offset: int = 0) -> Any:
    """torch, with its generator set anew, so that a model does not depend on which ones were made before it."""
    torch = import_module("torch")
    torch.manual_seed(SEED + offset)
    return torch


def save(model: Any, folder: Path) -> None:
    model.half().save_pretrained(folder, safe_serialization=True)


def write_json(path: Path, data: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


# Text encoders


def byte_characters() -> list[str]:
    """A printable character for each of the 256 bytes: itself where it is printable, else one from U+0100 up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(0x100 + n) for n in range(len(others))]


def write_tokenizer(folder: Path, pad_token: str = "<|endoftext|>") -> dict[str, int]:
    """A CLIP tokenizer that spells nearly everything byte by byte; returns its vocabulary."""
    characters = byte_characters()
    merged = [merge.replace(" ", "") for merge in MERGES]
    tokens = [*characters, *(f"{c}</w>" for c in characters), *merged, "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad_token,
    }
    write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]), encoding="utf-8")
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True},
    )
    return vocabulary


def text_encoder(class_name: str, vocabulary: Mapping[str, int], width: int) -> Any:
    transformers = import_module("transformers")
    seeded_torch(width)
    return getattr(transformers, class_name)(
        transformers.CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=width // 64,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            projection_dim=width,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=vocabulary["<|endoftext|>"],
            pad_token_id=vocabulary["<|endoftext|>"],
        )
    )


# UNet and VAE


def unet(base: Base) -> Any:
    if base == "sd15":
        own: dict[str, object] = {"cross_attention_dim": CLIP_L, "attention_head_dim": 8}
    else:
        own = {
            "cross_attention_dim": CLIP_L + CLIP_BIG_G,
            "attention_head_dim": (4, 8),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": CLIP_BIG_G + 6 * 8,
        }
    seeded_torch()
    return import_module("diffusers").UNet2DConditionModel(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **own,
    )


def vae(base: Base) -> Any:
    # InvokeAI tells the two apart by scaling factor and sample size. Different seeds, so that the hashes differ too.
    sample_size, scaling_factor = {"sd15": (64, 0.18215), "sdxl": (1024, 0.13025)}[base]
    seeded_torch(sample_size)
    return import_module("diffusers").AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        sample_size=sample_size,
        scaling_factor=scaling_factor,
        force_upcast=False,
    )


# Whole models, one function for each thing that InvokeAI installs


def write_sd15(folder: Path) -> None:
    save(text_encoder("CLIPTextModel", write_tokenizer(folder / "tokenizer"), CLIP_L), folder / "text_encoder")
    save(unet("sd15"), folder / "unet")
    save(vae("sd15"), folder / "vae")
    scheduler = import_module("diffusers").PNDMScheduler(**SCHEDULER, skip_prk_steps=True, set_alpha_to_one=False)
    scheduler.save_pretrained(folder / "scheduler")
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.30.0",
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", "PNDMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def write_sdxl(folder: Path) -> None:
    first = write_tokenizer(folder / "tokenizer")
    second = write_tokenizer(folder / "tokenizer_2", pad_token="!")
    save(text_encoder("CLIPTextModel", first, CLIP_L), folder / "text_encoder")
    save(text_encoder("CLIPTextModelWithProjection", second, CLIP_BIG_G), folder / "text_encoder_2")
    save(unet("sdxl"), folder / "unet")
    save(vae("sdxl"), folder / "vae")
    import_module("diffusers").EulerDiscreteScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionXLPipeline",
            "_diffusers_version": "0.30.0",
            "force_zeros_for_empty_prompt": True,
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def write_lora(path: Path, base: Base, text_encoders: Mapping[str, int]) -> None:
    """Rank 2 on every attention projection of the UNet and of the text encoders (key prefix → width)."""
    model = unet(base)
    torch = seeded_torch()
    rank = 2
    weights: dict[str, Any] = {}

    def add(key: str, inputs: int, outputs: int) -> None:
        weights[f"{key}.lora_down.weight"] = torch.randn(rank, inputs) * 0.02
        weights[f"{key}.lora_up.weight"] = torch.randn(outputs, rank) * 0.02
        weights[f"{key}.alpha"] = torch.tensor(float(rank))

    for name, module in model.named_modules():
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            add(f"lora_unet_{name.replace('.', '_')}", module.in_features, module.out_features)
    for prefix, width in text_encoders.items():
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            add(f"{prefix}_text_model_encoder_layers_0_self_attn_{projection}", width, width)
    # One piece of metadata and no more: safetensors writes several in an order of chance.
    import_module("safetensors.torch").save_file(weights, path, metadata={"format": "pt"})


def write_controlnet(folder: Path) -> None:
    model = unet("sd15")
    seeded_torch()
    controlnet = import_module("diffusers").ControlNetModel
    save(controlnet.from_unet(model, conditioning_embedding_out_channels=(8, 8, 16, 16)), folder)


MODELS: dict[str, Callable[[Path], None]] = {
    "tiny-sd15": write_sd15,
    "tiny-sdxl": write_sdxl,
    "tiny-sd15-vae": lambda folder: save(vae("sd15"), folder),
    "tiny-sdxl-vae": lambda folder: save(vae("sdxl"), folder),
    "tiny-sd15-lora.safetensors": lambda path: write_lora(path, "sd15", {"lora_te": CLIP_L}),
    "tiny-sdxl-lora.safetensors": lambda path: write_lora(path, "sdxl", {"lora_te1": CLIP_L, "lora_te2": CLIP_BIG_G}),
    "tiny-sd15-controlnet": write_controlnet,
}
"""By file name; InvokeAI names the model after it."""


def main(folder: Path) -> None:
    for name, write in MODELS.items():
        write(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
