"""invokeai-gen, as one uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from measure import lateness, main

from invokeai_gen import AsyncInvokeAIClient, ImageOutput, InvokeAIClient, Workflow, WorkflowOutputs
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.runtime.workflow import read_plan

DOWNLOADS_AT_ONCE = 4


@params
class NoParams(WorkflowParams):
    pass


def _workflow(folder: str) -> Workflow[NoParams, WorkflowOutputs]:
    plan = read_plan(Path(folder, "plan.json"))
    return Workflow(plan, params=NoParams, outputs=WorkflowOutputs)


def sync_latency(url: str, count: int, folder: str) -> list[float]:
    workflow, known = _workflow(folder), []
    with InvokeAIClient(url) as client:
        for _ in range(count):
            job = workflow.submit(NoParams(), client=client)
            job.wait()
            known.append((job.item_id, datetime.now(UTC)))
            job.close()
        return [lateness(client.queue.get(item).raw["completed_at"], now) for item, now in known]


def async_latency(url: str, count: int, folder: str) -> list[float]:
    async def run() -> list[float]:
        workflow, known = _workflow(folder), []
        async with AsyncInvokeAIClient(url) as client:
            for _ in range(count):
                job = await workflow.asubmit(NoParams(), client=client)
                await job.wait()
                known.append((job.item_id, datetime.now(UTC)))
                await job.close()
            return [lateness((await client.queue.get(item)).raw["completed_at"], now) for item, now in known]

    return asyncio.run(run())


def runs(url: str, count: int, folder: str) -> None:
    workflow = _workflow(folder)
    with InvokeAIClient(url) as client:
        for _ in range(count):
            assert workflow.run(NoParams(), client=client).every(ImageOutput)


def waits(url: str, count: int, folder: str) -> list[float]:
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


def downloads(url: str, count: int, folder: str) -> None:
    async def run() -> None:
        names = Path(folder, "images.txt").read_text(encoding="utf-8").split()
        slots = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
        async with AsyncInvokeAIClient(url) as client:

            async def one(number: int) -> None:
                async with slots:
                    image = ImageOutput(names[number % len(names)], client=client)
                    await image.asave(Path(folder, "saved", f"{number}.png"))

            await asyncio.gather(*map(one, range(count)))

    asyncio.run(run())


def _count(one_more: Callable[[], None]) -> None:
    send = httpx.AsyncClient.send

    async def counted(self: httpx.AsyncClient, *arguments: Any, **options: Any) -> httpx.Response:
        one_more()
        return await send(self, *arguments, **options)

    httpx.AsyncClient.send = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    main({"sync": sync_latency, "async": async_latency, "runs": runs, "waits": waits, "downloads": downloads}, _count)
