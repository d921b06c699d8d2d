"""A module that invokeai-gen 0.1.0 generated, on the runtime of today: `tests/old_modules` is never generated again."""

from __future__ import annotations

from invokeai_gen import InvokeAIClient
from tests.old_modules import sunset_poster as wf


def test_a_module_of_an_older_version_still_runs_and_sweeps(client: InvokeAIClient) -> None:
    out = wf.run(wf.Params(), client=client)
    assert out.images

    with wf.sweep(wf.Params(), product={}, client=client, runs=2) as sweep:
        assert [result.outputs is not None for result in sweep] == [True, True]
