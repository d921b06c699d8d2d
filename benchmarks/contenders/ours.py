"""invokeai-gen, as one uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contenders.measure import lateness, main
from invokeai_gen import AsyncInvokeAIClient, ImageOutput, InvokeAIClient, Workflow, WorkflowOutputs
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.runtime.workflow import read_plan
from invokeai_gen.server.http import Transport

AT_ONCE = 4


@params
class NoParams(WorkflowParams):
    pass


def _workflow(folder: Path) -> Workflow[NoParams, WorkflowOutputs]:
    return Workflow(read_plan(folder / "plan.json"), params=NoParams, outputs=WorkflowOutputs)


def latency(url: str, count: int, folder: Path) -> list[float]:
    workflow, known = _workflow(folder), []
    with InvokeAIClient(url) as client:
        for _ in range(count):
            job = workflow.submit(NoParams(), client=client)
            job.wait()
            known.append((job.item_id, datetime.now(UTC)))
            job.close()
        return [lateness(client.queue.get(item).raw["completed_at"], now) for item, now in known]


def runs(url: str, count: int, folder: Path) -> None:
    workflow = _workflow(folder)
    with InvokeAIClient(url) as client:
        for _ in range(count):
            assert workflow.run(NoParams(), client=client).every(ImageOutput)


def waits(url: str, count: int, folder: Path) -> list[float]:
    async def run() -> list[float]:
        workflow = _workflow(folder)
        async with AsyncInvokeAIClient(url) as client:

            async def one() -> float:
                job = await workflow.asubmit(NoParams(), client=client)
                await job.wait()
                known_at = datetime.now(UTC)
                return lateness((await job.outputs()).queue_item.raw["completed_at"], known_at)

            return list(await asyncio.gather(*(one() for _ in range(count))))

    return asyncio.run(run())


def submits(url: str, count: int, folder: Path) -> None:
    async def run() -> None:
        workflow = _workflow(folder)
        async with AsyncInvokeAIClient(url) as client:
            await asyncio.gather(*(workflow.asubmit(NoParams(), client=client) for _ in range(count)))

    asyncio.run(run())


def sweep(url: str, count: int, folder: Path) -> None:
    from generated import sunset_poster as wf

    first = int(time.time() * 1000) % 10**9
    with InvokeAIClient(url) as client:
        values = wf.Params(width=256, height=256)
        found = [*wf.sweep(values, product={"seed": range(first, first + count)}, client=client)]
    assert {result.outputs.poster.width for result in found} == {256}
    assert len(found) == count


def downloads(url: str, count: int, folder: Path) -> None:
    names = (folder / "images.txt").read_text(encoding="utf-8").split()

    async def run() -> None:
        async with AsyncInvokeAIClient(url) as client:

            async def one(number: int) -> None:
                image = ImageOutput(names[number % len(names)], client=client)
                await image.asave(folder / "saved" / f"{number}.png", overwrite=True)

            await _all(count, one)

    asyncio.run(run())


def uploads(url: str, count: int, folder: Path) -> None:
    paths = sorted((folder / "images").iterdir())

    async def run() -> None:
        async with AsyncInvokeAIClient(url) as client:

            async def one(number: int) -> None:
                await client.images.upload(paths[number % len(paths)])

            await _all(count, one)

    asyncio.run(run())


async def _all(count: int, one: Callable[[int], Any]) -> None:
    """Call `one` with each number, a few at a time."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def _count(one_more: Callable[[], None]) -> None:
    once = Transport.once

    async def counted(self: Transport, *arguments: Any, **options: Any) -> Any:
        one_more()
        return await once(self, *arguments, **options)

    Transport.once = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    tasks = (latency, runs, waits, submits, sweep, downloads, uploads)
    main({task.__name__: task for task in tasks}, _count)
