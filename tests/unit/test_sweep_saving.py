"""What a sweep leaves in a folder: files, their manifest and a gallery, also when its queue items are gone."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeai_gen.server.run_errors import DownloadError
from invokeai_gen.sweeps import sweep_file
from invokeai_gen.sweeps.files.manifest import OWN_COLUMNS, read_manifest
from invokeai_gen.sweeps.files.saving import Saver
from invokeai_gen.testing import FakeInvokeAI
from tests import plans
from tests.unit.full_disk import files_of_at_most


@pytest.fixture
def invokeai() -> Iterator[FakeInvokeAI]:
    with FakeInvokeAI() as fake:
        fake.returns(picture=(8, 8))
        yield fake


@pytest.mark.parametrize("manifest", ["csv", "jsonl"])
def test_files_that_were_saved_stand_for_items_that_are_no_longer_in_the_queue(
    invokeai: FakeInvokeAI, tmp_path: Path, manifest: str
) -> None:
    file, folder = tmp_path / "it.sweep", tmp_path / "images"
    sweep = plans.picture().sweep(product={"width": [8, 16, 24]}, file=file)
    saved = sweep.download(folder, manifest=manifest)  # type: ignore[arg-type]
    rows = read_manifest(folder / f"manifest.{manifest}")
    assert [(row["file"], row["width"]) for row in rows] == [
        (path.name, width) for path, width in zip(saved, [8, 16, 24], strict=True)
    ]
    sweep.cleanup_queue_items()
    again = plans.picture().resume_sweep(file, errors="collect")
    assert again.download(folder, manifest=manifest) == saved  # type: ignore[arg-type]
    assert tuple(rows[0])[: len(OWN_COLUMNS)] == OWN_COLUMNS
    read_again = plans.picture().read_csv if manifest == "csv" else plans.picture().read_jsonl
    assert [params.width for params in read_again(folder / f"manifest.{manifest}")] == [8, 16, 24]
    assert read_manifest(folder / f"manifest.{manifest}") == rows
    assert again.failures() == []


def test_a_file_that_was_deleted_since_does_not_stand_for_its_item(invokeai: FakeInvokeAI, tmp_path: Path) -> None:
    file, folder = tmp_path / "it.sweep", tmp_path / "images"
    sweep = plans.picture().sweep(product={"width": [8, 16, 24]}, file=file)
    saved = sweep.download(folder)
    sweep.cleanup_queue_items()
    saved[1].unlink()
    again = plans.picture().resume_sweep(file, errors="collect")
    assert again.download(folder) == [saved[0], saved[2]]
    assert [failure.index for failure in again.failures()] == [1]
    rows = read_manifest(folder / "manifest.csv")
    assert [row["index"] for row in rows if row["error"]] == [1]
    assert sorted(str(row["file"]) for row in rows) == ["", saved[0].name, saved[2].name]


def test_a_manifest_that_the_disk_has_no_room_for_is_reported_with_the_files(
    invokeai: FakeInvokeAI, tmp_path: Path
) -> None:
    sweep = plans.picture().sweep(product={"width": [8, 16, 24]})
    sweep.wait()
    with files_of_at_most(150), pytest.raises(DownloadError) as caught:  # an image has 70 bytes, a row 100
        sweep.download(tmp_path)
    assert [*caught.value.failed] == ["manifest.csv"]
    assert [path.name for path in caught.value.saved] == ["0000.png", "0001.png", "0002.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000.png", "0001.png", "0002.png"]
    assert sweep.download(tmp_path) == [*caught.value.saved]
    assert len(read_manifest(tmp_path / "manifest.csv")) == 3


def test_only_the_first_of_many_files_that_were_not_saved_are_listed() -> None:
    error = DownloadError([], {f"{number}.png": "no room" for number in range(1000)})
    assert str(error).endswith("\n- 19.png: no room\n- and 980 more")
    assert len(error.failed) == 1000


def test_long_tables_are_neither_read_nor_named_on_an_event_loop(
    invokeai: FakeInvokeAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def watched(owner: object, name: str) -> None:
        call = getattr(owner, name)

        def watching(*args: object) -> object:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            called.append(name)
            return call(*args)

        monkeypatch.setattr(owner, name, watching)

    for name in ("read_header", "decode_layout", "replay"):
        watched(sweep_file, name)
    watched(Saver, "check")

    async def main() -> None:
        file = tmp_path / "it.sweep"
        sweep = await plans.picture().asweep(product={"width": [8, 16]}, file=file)
        await sweep.wait()
        again = await plans.picture().aresume_sweep(file)
        await again.download(tmp_path / "out")

    asyncio.run(main())
    assert called == ["read_header", "decode_layout", "replay", "check"]


def test_no_manifest_is_written_if_none_is_wanted(invokeai: FakeInvokeAI, tmp_path: Path) -> None:
    saved = plans.picture().sweep(product={"width": [8, 16]}).download(tmp_path, manifest=None)
    assert sorted(tmp_path.iterdir()) == saved


def test_a_gallery_links_the_files_beside_it_and_no_other(invokeai: FakeInvokeAI, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    sweep = plans.picture().sweep(product={"width": [8, 16]})
    saved = sweep.download(folder, manifest="jsonl")
    assert all(f"./{path.name}" in sweep.gallery(folder / "gallery.html").read_text(encoding="utf-8") for path in saved)
    first, second = read_manifest(folder / "manifest.jsonl")
    (tmp_path / "elsewhere.png").write_bytes(saved[0].read_bytes())
    moved = [{**first, "file": "../elsewhere.png"}, {**second, "file": "missing.png"}]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved), encoding="utf-8")
    page = sweep.gallery(folder / "gallery.html").read_text(encoding="utf-8")
    assert "elsewhere" not in page
    assert "missing.png" not in page


def test_a_gallery_sorts_numbers_by_their_size_and_the_rest_as_text(invokeai: FakeInvokeAI, tmp_path: Path) -> None:
    sweep = plans.picture().sweep(product={"width": [8, 16], "color": ["#ff0000"]})
    file = sweep.gallery(tmp_path / "pages")
    assert file == tmp_path / "pages" / "gallery.html"
    page = file.read_text(encoding="utf-8")
    keys = [json.loads(html.unescape(found)) for found in re.findall(r'data-keys="(.*?)"', page)]
    assert [[key for key in each if key in (8, 16)] for each in keys] == [[8], [16]]
    assert all(isinstance(each[keys[0].index(8)], int) for each in keys)
    assert all(any(isinstance(key, str) for key in each) for each in keys)
