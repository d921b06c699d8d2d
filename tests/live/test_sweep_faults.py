"""Everything that can go wrong between here and a server while a sweep is on its way, and going on from its file.

In each cell one fault meets one request. Whatever comes of it, the sweep is brought to its end: in the end every item has
run exactly once, every image is saved whole, and every upload is known.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import PIL.Image
import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server import constants
from tests import plans
from tests.live import proxy as faults
from tests.live.proxy import Proxy
from tests.live.test_faults import PATIENCE, TIME, _impatient, direct, images, nothing_left_here

__all__ = ["_impatient", "direct", "nothing_left_here"]  # fixtures

STEPS = {
    "upload": "POST /api/v1/images/upload",
    "enqueue": "POST .*/enqueue_batch",
    "wait": "GET .*/b/.*/status",
    "collect": "POST .*/items_by_ids",
    "download": "GET .*/full",
}
FAULTS = {
    "refused": (faults.refused, 1),
    "reset": (faults.reset, 1),
    "reset for good": (faults.reset, faults.FOR_GOOD),
    "answer lost": (faults.lost, 1),
    "answer unheard": (faults.muted, 1),
    "silent": (faults.silent, 1),
    "500": (faults.status(500), 1),
    "503": (faults.status(503, b"Retry-After: 0"), 1),
    "429": (faults.status(429, b"Retry-After: 0"), 1),
    "cut": (faults.cut, 1),
    "truncated": (faults.truncated, 1),
    "expired": (faults.status(401), faults.FOR_GOOD),
}
UNNOTICED = {"reset", "answer lost", "503", "429", "cut"}
"""Faults that the caller of a sweep hears nothing of, whichever request they meet."""
PATTERN = "{picture}-{width}.png"


def at_another_address(file: Path, url: str) -> None:
    """The server is still the same, but its proxy is gone."""
    header, end, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps({**json.loads(header), "server": url}).encode() + end + rest)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault(
    fault: str, step: str, direct: InvokeAIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what, times = FAULTS[fault]
    patience = PATIENCE if what in (faults.silent, faults.muted) else TIME
    monkeypatch.setattr(constants, "ENQUEUE_TIMEOUT", patience)
    for name, color in (("one", "#ff0000"), ("two", "#0000ff")):
        PIL.Image.new("RGB", (24, 24), color).save(tmp_path / f"{name}.png")
    product = {"picture": [tmp_path / "one.png", tmp_path / "two.png"], "width": [4, 8, 12]}
    items, kept = set(direct.queue.item_ids()), images(direct)
    file, folder = tmp_path / "it.sweep", tmp_path / "out"
    error: Exception | None = None
    with Proxy(direct.url) as proxy, InvokeAIClient(proxy.url, timeout=patience) as client:
        proxy.refuse_events()
        proxy.on(STEPS[step], what, times)
        sweep = None
        try:
            sweep = plans.resize().sweep(product=product, client=client, file=file)
            sweep.download(folder, PATTERN)
        except (InvokeAIGenError, OSError) as caught:
            error = caught
        finally:
            if sweep is not None:
                sweep.close()
        assert proxy.asked(STEPS[step]), "the fault was met"
    assert not (error and fault in UNNOTICED), error
    assert folder.exists() or error
    for path in folder.glob("*.png"):
        with PIL.Image.open(path) as image:
            image.load()

    if file.exists():
        at_another_address(file, direct.url)
        sweep = plans.resize().resume_sweep(file, client=direct)
    else:
        notes = "\n".join(getattr(error, "__notes__", ()))
        left = images(direct) - kept
        assert not [name for name in left if name not in notes], "uploads that nobody knows of"
        direct.images.delete([*left])
        sweep = plans.resize().sweep(product=product, client=direct, file=file)
    files = sweep.download(folder, PATTERN)
    assert [path.name for path in files] == [f"{name}-{width}.png" for name in ("one", "two") for width in (4, 8, 12)]
    assert {path.name for path in folder.iterdir()} == {"manifest.csv", *(path.name for path in files)}
    for path in files:
        with PIL.Image.open(path) as image:
            assert image.width == int(path.stem.partition("-")[2])
    assert len(set(direct.queue.item_ids()) - items) == 6, "each item has run exactly once"
    assert len(images(direct) - kept) == 8, "two uploads and six results"
    assert len(sweep.cleanup_inputs().deleted) == 2
    with contextlib.closing(sweep):
        direct.images.delete([*(images(direct) - kept)])
