"""Set inputs by index and by name, see what is refused, and write down which input stands at which index.

python examples/set_inputs.py [INDEX_MAP.json]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient, ParamsError, WorkflowDefinition
from invokeai_gen.handle import IvkColorField, IvkIntegerField

SUNSET = Path(__file__).parents[1] / "data" / "workflows" / "sunset_poster.json"


def main(index_map: Path) -> None:
    """Change some values of a handle; the definition and other handles keep theirs."""
    client = InvokeAIClient.from_url(os.environ.get("INVOKEAI_URL", "http://localhost:9090"))
    handle = client.create_workflow(WorkflowDefinition.from_file(SUNSET))

    # By label, where no other input has it.
    inputs = handle.get_inputs_by_user_name()
    inputs["Title"].field.value = "First light"
    inputs["Width"].field.value = 512

    # By index, as the form counts. A field that was made elsewhere has to be of the same class.
    handle.set_input_value(7, IvkIntegerField(value=90))
    sky = handle.get_input_value(4)
    assert isinstance(sky, IvkColorField)
    sky.set_hex("#2b4c7e")

    # What the node or the form does not allow is refused at once, and the old value stays.
    mood = inputs["Mood"].field
    try:
        mood.value = "grumpy"
    except ParamsError as error:
        print(f"refused: {error}")
    print(f"Mood is {mood.value!r}, of {', '.join(mood.choices)}")

    for index in (0, 2, 4, 7):
        item = handle.get_input(index)
        print(f"{item.label}: {item.field.to_json_dict()}")
    print(f"problems: {handle.validate_inputs() or 'none'}")

    # An index means the same as long as the form does; keep a map to find out when it changes.
    handle.export_input_index_map(index_map)
    report = handle.verify_input_index_map(index_map)
    print(f"{len(report.unchanged)} inputs where they were, {len(report.moved)} moved, {len(report.missing)} missing")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "sunset_poster.inputs.json"))
