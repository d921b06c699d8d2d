"""A sweep over several real servers, one of which does not live to see its end; and what travels to other processes."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import PIL.Image
import pytest

from generated import sunset_poster as wf
from invokeai_gen import InvokeAIClient, ParamsError
from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError
from tests import plans
from tests.server import Server

COLORS = ["#ff0000", "#00ff00"]


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    """A second server; whoever kills it starts it again."""
    with Server.start() as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is silent for a second counts as gone."""
    monkeypatch.setattr(constants, "UNREACHABLE_AFTER", 1.0)


def width_of(file: Path) -> int:
    with PIL.Image.open(file) as image:
        return image.width


def ran(client: InvokeAIClient) -> set[int]:
    return {item.item_id for item in client.queue.items(client.queue.item_ids(), with_sessions=False)}


def test_servers_share_the_items_and_what_one_leaves_undone_the_others_do(
    server_url: str, other: Server, impatient: None, tmp_path: Path
) -> None:
    with InvokeAIClient(server_url) as lasting, InvokeAIClient(other.url) as dying:
        before = ran(lasting)
        sweep = plans.picture().sweep(
            product={"width": range(8, 38), "color": COLORS}, servers=[lasting, dying], errors="collect"
        )
        results = []
        for result in sweep:
            results.append(result)
            served = Counter(one.outputs.picture.client.url for one in results if one.outputs.picture.client)
            if served[other.url] == 3:
                other.kill()
        sweep.close()
        assert Counter(result.index for result in results) == Counter(range(60))
        for result in results:
            assert result.outputs.picture.width == result.params.width
        done_by = Counter(result.outputs.picture.client.url for result in results if result.outputs.picture.client)
        assert done_by[server_url] + done_by[other.url] == 60
        assert done_by[other.url] >= 3
        assert len(ran(lasting) - before) == done_by[server_url], "nothing was run twice"
        other.restart()
        items = dying.queue.items(dying.queue.item_ids(), with_sessions=False)
        assert sum(item.status == "completed" for item in items) == done_by[other.url]
        assert not [item for item in items if item.status in ("pending", "in_progress")], "nor will it be"


def test_each_server_gets_its_own_uploads_and_they_are_saved_as_they_come(
    server_url: str, other: Server, tmp_path: Path
) -> None:
    PIL.Image.new("RGB", (30, 30), "#0000ff").save(tmp_path / "a.png")
    base = plans.ResizeParams(picture=tmp_path / "a.png")
    sweep = plans.resize().sweep(base, product={"width": range(4, 16)}, servers=[server_url, other.url])
    files = sweep.download(tmp_path / "out", "{width}.png")
    assert [width_of(file) for file in files] == list(range(4, 16))
    assert len(sweep.cleanup_inputs().deleted) == 2
    sweep.close()


def test_batches_of_the_workflow_are_shared_too(server_url: str, other: Server) -> None:
    sweep = plans.batched().sweep(product={"widths": [[8, 16], [24]]}, servers=[server_url, other.url], runs=2)
    assert [result.outputs.picture.width for result in sweep.results()] == [8, 16, 24] * 2
    sweep.close()


def test_without_any_server_left_the_sweep_ends_with_an_error_and_can_go_on(other: Server, impatient: None) -> None:
    sweep = plans.picture().sweep(product={"width": range(8, 48)}, servers=[other.url])
    with pytest.raises(ConnectionFailedError):
        for result in sweep:
            if other.running:
                other.kill()
    done = sweep.counts.completed
    assert 0 < done < 40
    other.restart()
    assert sweep.retry() == 40 - done
    assert sweep.wait(60).completed == 40
    sweep.close()


@pytest.mark.parametrize("servers", [[], "http://localhost:9090"])
def test_servers_are_a_list_of_addresses(servers: object) -> None:
    with pytest.raises(ParamsError, match="should be a list of addresses"):
        plans.picture().sweep(product={"width": [8]}, servers=servers)  # type: ignore[arg-type]


def test_a_sweep_over_several_servers_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no file"):
        plans.picture().sweep(product={"width": [8]}, servers=["http://localhost:9"], file=tmp_path / "x")


def test_params_and_results_go_to_other_processes_and_come_back(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    rows = [wf.Params(width=256, height=256, seed=seed, sky_color=(1, 2, 3)) for seed in (1, 2)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        outs = list(pool.map(wf.run, rows))
    assert [out.poster.width for out in outs] == [256, 256]
    assert outs[0].poster.bytes()[:4] == b"\x89PNG"
    assert pickle.loads(pickle.dumps(rows)) == rows
    with InvokeAIClient(server_url) as client:
        (result,) = wf.sweep(rows=rows[:1], client=client)
        again = pickle.loads(pickle.dumps(result))
        assert (again.params, again.outputs.poster) == (rows[0], result.outputs.poster)
