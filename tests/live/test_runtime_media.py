"""What a run leaves on the server: saved, converted, and given to the next run."""

import asyncio
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from invokeai_gen import BoardRef, ImageRef, InvokeAIClient
from invokeai_gen.server.run_errors import BoardResolutionError, DownloadError, MediaResolutionError
from tests import plans

TIME = 120.0


@pytest.fixture(scope="module")
def out(client: InvokeAIClient) -> plans.PictureOutputs:
    return plans.picture().run(plans.PictureParams(width=80, color="#ff0000"), client=client, timeout=TIME)


def png(color: str = "blue", size: tuple[int, int] = (40, 20)) -> bytes:
    buffer = BytesIO()
    PIL.Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def width_of(path: Path) -> int:
    with PIL.Image.open(path) as image:
        return image.width


def test_an_image_is_saved_in_folders_that_are_made(out: plans.PictureOutputs, tmp_path: Path) -> None:
    path = out.picture.save(tmp_path / "new" / "folder" / "fox.png")
    assert path.read_bytes() == out.picture.bytes() == out.picture._repr_png_()
    assert [entry.name for entry in path.parent.iterdir()] == ["fox.png"], "no temporary file is left"
    assert out.picture.pil().size == (80, 48)


@pytest.mark.parametrize(("name", "form"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a", "PNG")])
def test_the_name_says_the_format(out: plans.PictureOutputs, tmp_path: Path, name: str, form: str) -> None:
    with PIL.Image.open(out.picture.save(tmp_path / name, quality=80)) as saved:
        assert (saved.format, saved.size) == (form, (80, 48))
        red, green, blue = saved.convert("RGB").getpixel((40, 24))  # type: ignore[misc]
    assert red > 240
    assert green < 15
    assert blue < 15


def test_handles_work_on_any_event_loop(out: plans.PictureOutputs, tmp_path: Path) -> None:
    async def main() -> int:
        await out.picture.asave(tmp_path / "a.png")
        return len(await out.picture.aas_format("webp", quality=10))

    assert asyncio.run(main()) > 0
    assert (tmp_path / "a.png").is_file()


def test_all_outputs_are_downloaded_under_their_names(client: InvokeAIClient, tmp_path: Path) -> None:
    outputs = plans.iterated().run(plans.NoParams(), client=client, timeout=TIME)
    saved = outputs.download_outputs(tmp_path, include_metadata=True)
    names = [f"{name}-00{n}.png" for name in ("each", "all_of_them") for n in range(4)]
    assert [path.name for path in saved] == names
    assert [width_of(path) for path in saved[:4]] == [16, 24, 32, 40]
    assert sorted(width_of(path) for path in saved[4:]) == [16, 24, 32, 40]
    assert json.loads((tmp_path / "each-000.json").read_text(encoding="utf-8")) == outputs.each[0].metadata()


def test_a_download_goes_on_where_it_stopped_and_tells_what_is_missing(client: InvokeAIClient, tmp_path: Path) -> None:
    outputs = plans.iterated().run(plans.NoParams(), client=client, timeout=TIME)
    (tmp_path / "each-000.png").write_bytes(b"mine")
    gone = outputs.each[1].name
    client.images.delete([gone])
    with pytest.raises(DownloadError, match="2 of 8 outputs were not saved") as caught:
        outputs.download_outputs(tmp_path, skip_existing=True)
    collected = [image.name for image in outputs.all_of_them].index(gone)
    assert set(caught.value.failed) == {"each-001.png", f"all_of_them-00{collected}.png"}
    assert len(caught.value.saved) == 6
    assert (tmp_path / "each-000.png").read_bytes() == b"mine"


def test_an_image_may_come_from_anywhere(client: InvokeAIClient, out: plans.PictureOutputs, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    path.write_bytes(png())
    sources: list[Any] = [
        path,
        str(path),
        png(),
        PIL.Image.open(path),
        out.picture,
        ImageRef(out.picture.name),
        out.picture.name,
    ]
    for source in sources:
        result = plans.resize().run(plans.ResizeParams(picture=source, width=24), client=client, timeout=TIME)
        assert result.small.width == 24
        result.cleanup_inputs()


def test_an_input_that_is_no_image_is_reported_by_its_label(client: InvokeAIClient, tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("not an image")
    with pytest.raises(MediaResolutionError, match="'Picture': the server cannot read 'note.png' as an image"):
        plans.resize().run(plans.ResizeParams(picture=path), client=client)
    with pytest.raises(MediaResolutionError, match="'Picture': .* cannot be read: No such file"):
        plans.resize().run(plans.ResizeParams(picture=tmp_path / "absent.png"), client=client)


def test_an_image_goes_to_the_board_that_was_named(client: InvokeAIClient) -> None:
    board = client.boards.create("runtime tests: named")
    try:
        for given in (board.board_name, board.board_id, BoardRef(board.board_id)):
            done = plans.picture().run(plans.PictureParams(board=given), client=client, timeout=TIME)
            assert done.picture.info().board_id == board.board_id
        done = plans.picture().run(
            plans.PictureParams(board="none"), client=client, timeout=TIME, auto_board=board.board_id
        )
        assert done.picture.info().board_id is None
        done = plans.picture().run(
            plans.PictureParams(board="auto"), client=client, timeout=TIME, auto_board=board.board_name
        )
        assert done.picture.info().board_id == board.board_id
    finally:
        client.boards.delete(board.board_id, images="delete")


def test_a_board_is_made_only_for_those_who_ask(client: InvokeAIClient) -> None:
    name = "runtime tests: to be made"
    with pytest.raises(BoardResolutionError, match="'Board': no board has the name or id"):
        plans.picture().run(plans.PictureParams(board=name), client=client)
    done = plans.picture().run(plans.PictureParams(board=name), client=client, timeout=TIME, create_boards=True)
    (board,) = client.boards.find(name)
    assert done.picture.info().board_id == board.board_id
    client.boards.delete(board.board_id, images="delete")
