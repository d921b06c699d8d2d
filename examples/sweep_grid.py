"""Try every combination of some values. Needs a running InvokeAI (INVOKEAI_URL, else http://localhost:9090), no models.

python examples/sweep_grid.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition

WORKFLOW = Path(__file__).parents[1] / "data" / "workflows" / "sunset_poster.json"


def main(folder: Path) -> None:
    """Run a grid of sun sizes and skies, and save each image, a table of them, and one sheet with all."""
    with InvokeAIClient() as client:
        handle = client.create_workflow(WorkflowDefinition.from_file(WORKFLOW))
        for label in ("Width", "Height"):
            handle.get_inputs_by_user_name()[label].field.value = 256
        sweep = handle.sweep_sync(product={"sun_size": [40, 80, 120], "sky_color": ["#261654", "#0b3d2e"]})
        print(f"{sweep.total} runs, of which {', '.join(sweep.varying)} differ")
        for file in sweep.download(folder, "{index:02d}_sun-{sun_size}_sky-{sky_color}.png"):
            print(file.name)
        sheet = sweep.contact_sheet(folder / "sheet.png", size=128)
        print(f"sheet.png, {sheet.width} x {sheet.height}; manifest.csv says what each file is")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "images"))
