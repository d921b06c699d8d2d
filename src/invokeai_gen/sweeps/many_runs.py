"""`ManyRuns`: the methods of `Workflow` that run it many times, loaded when one of them is used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from invokeai_gen.loading import load
from invokeai_gen.runtime.workflow import O, P, RunnableWorkflow
from invokeai_gen.server import background
from invokeai_gen.server.background import in_thread

if TYPE_CHECKING:
    from invokeai_gen.server.blocking import ServerClient
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.sweeps.async_sweep import AsyncSweep
    from invokeai_gen.sweeps.options import CollectOptions, SweepOptions, TableOptions
    from invokeai_gen.sweeps.sweep import Sweep

    StrPath = str | os.PathLike[str]
    AnyClient = AsyncInvokeAIClient | ServerClient


class ManyRuns(RunnableWorkflow[P, O]):
    """A workflow that runs many times from one call."""

    def sweep(
        self,
        base: P | None = None,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        rows: Iterable[P] | None = None,
        client: ServerClient | None = None,
        **options: Unpack[SweepOptions],
    ) -> Sweep[P, O]:
        """Submit many runs with as few requests as possible, and return a sweep to follow, without waiting for results.

        `product` has a list of values for each input: every combination is run, the last input changing fastest. The
        lists of `zip` advance together; `rows` are whole `Params`; the option `replace` searches and replaces words of
        a text, as in `replace={"prompt": {"fox": ["owl", "cat"]}}`. A list may be `DynamicPrompts("a {red|blue} fox")`,
        which the server expands. All of these multiply with each other, with `runs`, and with the batch nodes of the
        workflow. Any other input keeps its value in `base`, or its default. A list has at most 100,000 values.

        All values are checked before anything is sent; files are uploaded and models and boards looked up once. What
        the server cannot vary by itself (models, colours, boards, lists …) goes into enqueues of its own. The call
        returns when the first of these is in the queue; the others follow, as the queue has room. The workflow that is
        stored with each image has the values of the first one: the values of each run are in its result, and in the
        manifest of `Sweep.download`. Raise `ParamsError`, and whatever `submit` raises.
        """
        from invokeai_gen.sweeps.sweep import Sweep

        starting = self.asweep(base, product=product, zip=zip, rows=rows, client=client, **options)
        return Sweep(background.run(starting, undo=lambda sweep: sweep.__aexit__()))

    async def asweep(
        self,
        base: P | None = None,
        *,
        product: Mapping[str, object] | None = None,
        zip: Mapping[str, object] | None = None,
        rows: Iterable[P] | None = None,
        client: AnyClient | None = None,
        **options: Unpack[SweepOptions],
    ) -> AsyncSweep[P, O]:
        """Like `sweep`, to be awaited."""
        await self.aload()
        start = await load("invokeai_gen.sweeps.start")
        sweep: AsyncSweep[P, O] = await start.sweep(self, base, product, zip, rows, client, options)
        return sweep

    def sweep_csv(
        self,
        path: StrPath,
        base: P | None = None,
        *,
        client: ServerClient | None = None,
        **options: Unpack[TableOptions],
    ) -> Sweep[P, O]:
        """Submit a run for each row of a CSV file, whose columns are Python names or labels of inputs; like `sweep`.

        An empty cell, and an input without a column, keeps its value in `base`. Paths of images are relative to the
        file. `product` multiplies the rows. The manifest of a sweep is such a file, too: each of its runs is run again
        with its values. Raise `TableError` with every cell that does not fit, by row and column.
        """
        return self.sweep(rows=self.read_csv(path, base), client=client, **options)

    def sweep_jsonl(
        self,
        path: StrPath,
        base: P | None = None,
        *,
        client: ServerClient | None = None,
        **options: Unpack[TableOptions],
    ) -> Sweep[P, O]:
        """Submit a run for each line of a file, a JSON object of values by Python name or label; like `sweep_csv`."""
        return self.sweep(rows=self.read_jsonl(path, base), client=client, **options)

    async def asweep_csv(
        self, path: StrPath, base: P | None = None, *, client: AnyClient | None = None, **options: Unpack[TableOptions]
    ) -> AsyncSweep[P, O]:
        """Like `sweep_csv`, to be awaited."""
        return await self.asweep(rows=await in_thread(self.read_csv, path, base), client=client, **options)

    async def asweep_jsonl(
        self, path: StrPath, base: P | None = None, *, client: AnyClient | None = None, **options: Unpack[TableOptions]
    ) -> AsyncSweep[P, O]:
        """Like `sweep_jsonl`, to be awaited."""
        return await self.asweep(rows=await in_thread(self.read_jsonl, path, base), client=client, **options)

    def read_csv(self, path: StrPath, base: P | None = None, *, ignore_extra: bool = False) -> list[P]:
        """Return the rows of a CSV file; see `sweep_csv`. `ignore_extra` skips columns that name no input."""
        from invokeai_gen.sweeps.files.tables import read_csv

        return read_csv(Path(path), self.plan, self.params_type, base, ignore_extra=ignore_extra)

    def read_jsonl(self, path: StrPath, base: P | None = None, *, ignore_extra: bool = False) -> list[P]:
        """Return the lines of a file of JSON objects; see `sweep_jsonl`. `ignore_extra` skips names of no input."""
        from invokeai_gen.sweeps.files.tables import read_jsonl

        return read_jsonl(Path(path), self.plan, self.params_type, base, ignore_extra=ignore_extra)

    def resume_sweep(
        self, file: StrPath, *, client: ServerClient | None = None, **options: Unpack[CollectOptions]
    ) -> Sweep[P, O]:
        """Resume a sweep that was started with `file=`, perhaps by a process that has died since.

        What was sent is not sent again; what was not is sent now; what failed or was canceled waits for `retry`. A sweep
        over several servers continues on these, or on those of `servers=`. Raise `SweepFileError` for a file that is
        damaged or of another workflow or server, and whatever `sweep` raises.
        """
        from invokeai_gen.sweeps.sweep import Sweep

        resuming = self.aresume_sweep(file, client=client, **options)
        return Sweep(background.run(resuming, undo=lambda sweep: sweep.close()))

    async def aresume_sweep(
        self, file: StrPath, *, client: AnyClient | None = None, **options: Unpack[CollectOptions]
    ) -> AsyncSweep[P, O]:
        """Like `resume_sweep`, to be awaited."""
        await self.aload()
        start = await load("invokeai_gen.sweeps.start")
        sweep: AsyncSweep[P, O] = await start.resume(self, Path(file), client, options)
        return sweep
