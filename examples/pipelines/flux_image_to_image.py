"""Repaint a picture with FLUX. Needs a running InvokeAI (INVOKEAI_URL) with a FLUX model and its T5, CLIP and VAE.

python examples/pipelines/flux_image_to_image.py PICTURE [PROMPT] [FOLDER]

If one of the models is missing, it says which, and writes the request that it would have sent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition

WORKFLOW = Path(__file__).parent / "workflows" / "flux_image_to_image.json"
MODELS = {
    "FLUX Model": ("flux", "main"),
    "T5 Encoder": ("any", "t5_encoder"),
    "CLIP Embed": ("any", "clip_embed"),
    "VAE": ("flux", "vae"),
}
"""Base and type of the model that each input takes."""


def main(picture: Path, prompt: str, folder: Path) -> None:
    """Choose the first fitting model of the server for each input, run the workflow, and save the image."""
    with InvokeAIClient() as client:
        handle = client.create_workflow(WorkflowDefinition.from_file(WORKFLOW))
        inputs = handle.get_inputs_by_user_name()
        inputs["Source Image"].field.value = picture
        inputs["Prompt"].field.value = prompt
        missing = []
        for label, (base, kind) in MODELS.items():
            models = client.models.list(base=base, type=kind)
            if models:
                inputs[label].field.value = models[0]
            else:
                missing.append(f"{label} ({base} {kind})")
        if missing:
            inputs["FLUX Model"].field.value = inputs["FLUX Model"].field.value or "a FLUX model"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "request.json").write_text(json.dumps(handle.request(), indent=2), encoding="utf-8")
            sys.exit(f"{client.url} has no model for {', '.join(missing)}; the request is in {folder / 'request.json'}")

        handle.submit_sync()
        handle.wait_for_completion_sync(timeout=1800)
        for file in handle.download_outputs(folder):
            print(file)
        handle.cleanup_inputs()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/pipelines/flux_image_to_image.py PICTURE [PROMPT] [FOLDER]")
    main(
        Path(sys.argv[1]),
        sys.argv[2] if len(sys.argv) > 2 else "the same place in winter, thick snow",
        Path(sys.argv[3] if len(sys.argv) > 3 else "images"),
    )
