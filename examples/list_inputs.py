"""List what a workflow lets you set: index, label, type of field, value.

python examples/list_inputs.py [WORKFLOW.json]

Node types come from the server at INVOKEAI_URL (else http://localhost:9090), or, if none runs there, from the package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition

SUNSET = Path(__file__).parents[1] / "data" / "workflows" / "sunset_poster.json"


def main(path: Path) -> None:
    """Open the workflow, say what it is, and list its inputs."""
    client = InvokeAIClient.from_url(os.environ.get("INVOKEAI_URL", "http://localhost:9090"))
    definition = WorkflowDefinition.from_file(path)
    handle = client.create_workflow(definition)

    print(f"{definition.name} {definition.version}, by {definition.author}")
    print(definition.description)
    for row in handle.preview():
        print(f"[{row['index']:2}] {row['label']:20} {row['type']:24} {row['value']}")
    missing = [item.label for item in handle.get_missing_required_inputs()]
    print(f"still needed: {', '.join(missing) or 'nothing'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SUNSET)
