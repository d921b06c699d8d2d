"""Submit a workflow and follow it: first blocking, then with events on an event loop. Needs InvokeAI, but no models.

python examples/submit_and_track.py
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from invokeai_gen import InvokeAIClient, WorkflowDefinition
from invokeai_gen.handle import WorkflowHandle
from invokeai_gen.server.events import InvocationComplete

SUNSET = Path(__file__).parents[1] / "data" / "workflows" / "sunset_poster.json"


def track_blocking(handle: WorkflowHandle) -> None:
    """Wait, and look at the queue item now and then."""
    job = handle.submit_sync()
    print(f"blocking: {len(job.item_ids)} item in the queue")
    item = handle.wait_for_completion_sync(
        poll_interval=0.2, timeout=120, progress_callback=lambda item: print(f"  {item.status}")
    )
    print(f"blocking: {item.status}, {len(handle.get_outputs().images)} images")


async def track_events(handle: WorkflowHandle) -> None:
    """Have functions called while the nodes run."""

    boards = {output.node_id for output in handle.plan.outputs if output.role == "user"}

    def complete(event: InvocationComplete) -> None:
        if event.node_id in boards:
            print(f"  {event.node_label} is ready: {event.result['width']} x {event.result['height']}")

    await handle.submit(on_status=lambda event: print(f"  {event.status}"), on_invocation_complete=complete)
    item = await handle.wait_for_completion(timeout=120)
    outputs = await handle.get_outputs_async()
    print(f"events: {item.status} after {outputs.execution_time:.1f} s")


def main() -> None:
    """Run the same workflow in both ways."""
    with InvokeAIClient.from_url(os.environ.get("INVOKEAI_URL", "http://localhost:9090")) as client:
        handle = client.create_workflow(WorkflowDefinition.from_file(SUNSET))
        handle.get_inputs_by_user_name()["Seed"].field.value = 11
        track_blocking(handle)
        handle.get_inputs_by_user_name()["Seed"].field.value = 12
        asyncio.run(track_events(handle))


if __name__ == "__main__":
    main()
