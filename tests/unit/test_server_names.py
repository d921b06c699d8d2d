"""Names that a server chooses: what is saved under them stays in its folder, is a picture, and costs nobody a file."""

from __future__ import annotations

import struct
import subprocess
import zlib
from io import BytesIO
from pathlib import Path

import httpx
import PIL.Image
import pytest

from invokeai_gen import AsyncInvokeAIClient, DecodeError, ImageOutput, VideoOutput
from invokeai_gen.runtime.output_methods import file_names

EVIL = [
    "../../evil.png",
    "/etc/evil.png",
    "C:\\Windows\\evil.png",
    "\\\\host\\share\\evil.png",
    "..",
    ".bashrc",
    "main.py",
    "run.exe",
    "picture.png.exe",
    "picture.png:stream",
    "con.png",
    "NUL",
    "COM1.png",
    "desktop.ini",
    "trailing. . .",
    "a\x00b.png",
    "new\nline.png",
    "\u202egnp.exe",
    "\ud800.png",
    "🦊" * 300 + ".png",
    "",
]
_DEVICES = {"con", "nul", "com1", "prn", "aux", "lpt1"}


def online(data: bytes = b"png") -> AsyncInvokeAIClient:
    def answer(request: httpx.Request) -> httpx.Response:
        is_metadata = request.url.path.endswith("/metadata")
        return httpx.Response(200, json={"seed": 7}) if is_metadata else httpx.Response(200, content=data)

    return AsyncInvokeAIClient("http://server", http_backend=httpx.MockTransport(answer))


def check(path: Path, folder: Path, suffix: str) -> None:
    assert path.parent == folder
    assert path.name.endswith(suffix)
    assert len(path.name.encode()) <= 255
    assert not set(path.name) & set('<>:"/\\|?*\x00\n')
    assert path.name == path.name.strip(". ")
    assert path.name.partition(".")[0].lower() not in _DEVICES


@pytest.mark.parametrize("name", EVIL)
def test_a_download_stays_in_its_folder_and_is_a_picture(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    saved = ImageOutput(name, client=online()).download(folder, include_metadata=True)
    check(saved, folder, ".png")
    assert sorted(tmp_path.rglob("*")) == sorted([folder, saved, saved.with_suffix(".json")])
    assert VideoOutput(name, client=online()).download(folder).suffix == ".mp4"


@pytest.mark.parametrize("name", EVIL)
def test_files_of_outputs_have_safe_names_too(name: str, tmp_path: Path) -> None:
    made = [
        file for file, _ in file_names({name: ImageOutput(name), "video": VideoOutput(name), "x": [VideoOutput(name)]})
    ]
    assert [Path(file).suffix for file in made] == [".png", ".mp4", ".mp4"]
    for file in made:
        check(tmp_path / file, tmp_path, Path(file).suffix)


def test_a_video_keeps_the_suffix_of_its_format() -> None:
    for name, suffix in (("a.webm", ".webm"), ("a.MOV", ".mov"), ("a.mp4:x", ".mp4"), ("a.exe", ".mp4"), ("a", ".mp4")):
        assert [file for file, _ in file_names({"v": VideoOutput(name)})] == [f"v{suffix}"]


def test_names_that_differ_only_in_capitals_get_files_of_their_own() -> None:
    image = ImageOutput("a.png")
    named = {
        "Fox": image,
        "fox": image,
        "FOX": VideoOutput("b.mp4"),
        "fox_2": image,
        "each": [image, image],
        "Each-000": image,
    }
    assert [file for file, _ in file_names(named)] == [
        "Fox.png",
        "fox_2.png",
        "FOX_3.mp4",
        "fox_2_2.png",
        "each-000.png",
        "each-001.png",
        "Each-000_2.png",
    ]


def test_a_download_takes_the_place_of_no_other_file(tmp_path: Path) -> None:
    image = ImageOutput("mine.png", client=online())
    (tmp_path / "mine.png").write_bytes(b"something else")
    with pytest.raises(FileExistsError, match="already exists"):
        image.download(tmp_path)
    assert (tmp_path / "mine.png").read_bytes() == b"something else"

    image = ImageOutput("package.png", client=online())
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(FileExistsError):
        image.download(tmp_path, include_metadata=True)
    assert (tmp_path / "package.json").read_text(encoding="utf-8") == "{}"


def png(width: int, height: int) -> bytes:
    """A PNG that says it has this size, and has one pixel."""
    buffer = BytesIO()
    PIL.Image.new("L", (1, 1)).save(buffer, "PNG")
    data = buffer.getvalue()
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


KINDS = ("eps", "gif", "bomb", "damaged", "page")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
GIF = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"


@pytest.mark.parametrize(
    "data", [EPS, GIF, png(30_000, 30_000), png(1, 1).replace(b"IDAT", b"IDAX"), b"<html>"], ids=KINDS
)
def test_only_images_that_invokeai_makes_are_opened(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would start Ghostscript for EPS, and unfold an image of any size in memory."""
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail("a program was started"))
    image = ImageOutput("mine.png", client=online(data))
    with pytest.raises(DecodeError, match=r"image 'mine\.png' cannot be read"):
        image.pil()
    with pytest.raises(DecodeError, match=r"image 'mine\.png' cannot be read"):
        image.as_format("jpeg")


def test_the_same_image_may_be_downloaded_again(tmp_path: Path) -> None:
    image = ImageOutput("mine.png", client=online())
    assert image.download(tmp_path, include_metadata=True) == image.download(tmp_path, include_metadata=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.png"]
