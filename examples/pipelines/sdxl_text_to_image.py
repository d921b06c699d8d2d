"""Make an image from a prompt with an SDXL model. Needs a running InvokeAI (INVOKEAI_URL) with an SDXL model.

python examples/pipelines/sdxl_text_to_image.py PROMPT [FOLDER] [SIZE] [STEPS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition

WORKFLOW = Path(__file__).parents[2] / "data" / "workflows" / "sdxl_text_to_image.json"


def main(prompt: str, folder: Path, size: int = 1024, steps: int = 30) -> None:
    """Run the workflow with a model of this server, show progress, and save the image."""
    with InvokeAIClient() as client:
        handle = client.create_workflow(WorkflowDefinition.from_file(WORKFLOW))
        for before, after in handle.sync_dnn_model(by_base=True):
            print(f"model {before.name}: {after.name} here")
        inputs = handle.get_inputs_by_user_name()
        inputs["Positive Prompt"].field.value = prompt
        inputs["Output Width"].field.value = inputs["Output Height"].field.value = size
        inputs["Steps"].field.value = steps

        handle.submit_sync()
        item = handle.wait_for_completion_sync(timeout=1800)
        (file,) = handle.download_outputs(folder, include_metadata=True)
        print(f"{file.name} after {item.timings.execution_seconds:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/pipelines/sdxl_text_to_image.py PROMPT [FOLDER] [SIZE] [STEPS]")
    main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "images"), *map(int, sys.argv[3:5]))
