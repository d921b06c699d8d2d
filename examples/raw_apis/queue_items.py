"""Look at the queue: what waits, what runs, and how the last runs ended. Needs a running InvokeAI (INVOKEAI_URL).

python examples/raw_apis/queue_items.py
"""

from __future__ import annotations

from invokeai_gen import InvokeAIClient


def main() -> None:
    """Print the numbers of the queue, and its newest items."""
    with InvokeAIClient() as client:
        counts = client.queue.counts()
        print(f"{counts.pending} wait, {counts.in_progress} run, {counts.finished} of {counts.total} have ended")
        current = client.queue.current()
        print(f"now: {'nothing' if current is None else f'item {current.item_id}, since {current.started_at:%H:%M}'}")
        for item in client.queue.list()[-5:]:
            seconds = item.timings.execution_seconds
            print(f"{item.item_id}: {item.status}" + (f" after {seconds:.1f} s" if seconds is not None else ""))


if __name__ == "__main__":
    main()
