"""Make a draft, refine it, and finish it, each stage on a board of its own. Needs InvokeAI (INVOKEAI_URL) with a model.

python examples/pipelines/three_stage_refine.py [FOLDER] [WORKFLOW.json]

The workflow is by default one with Stable Diffusion 1.5; one that drafts with SDXL and refines with FLUX works the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition

WORKFLOW = Path(__file__).parents[2] / "data" / "workflows" / "three_stage_refine.json"


def main(folder: Path, workflow: Path) -> None:
    """Run the workflow with small values, follow its stages, and save the image of each."""
    with InvokeAIClient() as client:
        handle = client.create_workflow(WorkflowDefinition.from_file(workflow))
        handle.sync_dnn_model(by_base=True)
        for item in handle.list_inputs():  # several inputs have the label "Steps", so they go by what they are
            if item.label in ("Width", "Height"):
                item.field.value = 64
            elif item.label == "Steps":
                item.field.value = 2

        handle.submit_sync()
        for output in handle.stream_outputs_sync():
            print(f"{output.name} is ready")
        for mapping in handle.map_outputs_to_images():
            if mapping.role == "user" and mapping.input_index is not None:
                board = handle.get_input_value(mapping.input_index).value
                print(f"{mapping.label}: {', '.join(f'{i.width} x {i.height}' for i in mapping.images)}, board {board}")
        for file in handle.download_outputs(folder):
            print(file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "images"), Path(sys.argv[2]) if len(sys.argv) > 2 else WORKFLOW)
