"""Repaint a picture, save what comes out, and leave nothing on the server. Needs a Stable Diffusion 1.5 model there.

python examples/outputs_and_cleanup.py PICTURE [FOLDER]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition

REPAINT = Path(__file__).parents[1] / "data" / "workflows" / "sd15_image_to_image.json"


def main(picture: Path, folder: Path) -> None:
    """Run the workflow on the picture and tidy up behind it."""
    with InvokeAIClient.from_url(os.environ.get("INVOKEAI_URL", "http://localhost:9090")) as client:
        handle = client.create_workflow(WorkflowDefinition.from_file(REPAINT))
        for before, after in handle.sync_dnn_model(by_base=True):
            print(f"model {before.name}: {after.name} here")
        inputs = handle.get_inputs_by_user_name()
        inputs["Source Image"].field.value = picture
        inputs["Width"].field.value = inputs["Height"].field.value = 64
        inputs["Steps"].field.value = 2

        handle.submit_sync()
        handle.wait_for_completion_sync(timeout=600)
        outputs = handle.get_outputs()
        print(f"user outputs: {', '.join(outputs.get_user_outputs().names)}; latents: {len(outputs.latents)}")
        for mapping in handle.map_outputs_to_images(outputs.queue_item):
            sizes = ", ".join(f"{image.width} x {image.height}" for image in mapping.images)
            print(f"{mapping.role} {mapping.label}: {sizes}")

        files = handle.download_outputs(folder, include_metadata=True)
        print(f"saved: {', '.join(file.name for file in files)}")

        print(f"uploaded: {len(handle.get_uploaded_assets())}")
        print(f"deleted inputs: {len(handle.cleanup_inputs().deleted)}")
        removal = handle.cleanup_outputs()
        print(f"deleted outputs: {len(removal.deleted)}, kept: {len(removal.kept)}")
        print(f"deleted queue items: {len(handle.cleanup_queue_items().deleted)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/outputs_and_cleanup.py PICTURE [FOLDER]")
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "images"))
