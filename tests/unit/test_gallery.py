"""HTML galleries: what they show, and that nothing in them is taken for markup."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from invokeai_gen.sweeps.files.gallery import Card, Medium, pages_of, render

EVIL = "</script><script>document.title='owned'</script>\"'><img src=x onerror=alert(1)> 猫 \u202e \ud800"
DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/q842iQAAAABJRU5ErkJggg=="


def card(index: int, place: tuple[int, ...] = (), *, problem: str = "", text: str = "1") -> Card:
    media = [] if problem else [Medium(text, DOT, f"./{index}.png")]
    return Card(index, media, [(text, text)], [(text, text)], [index, -index, text], place, 1.5, problem)


def gallery(cards: list[Card], axes: list[list[str]], text: str = "Seeds") -> str:
    return render(text, text, ["number", text, "text"], pages_of(cards, axes))


class Seen(HTMLParser):
    """The elements of a page, its texts, and the attributes of all elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_two_axes_make_a_table_and_further_ones_a_page_each() -> None:
    places = [(a, b, c) for a in range(2) for b in range(2) for c in range(3)]
    cards = [card(index, place) for index, place in enumerate(places)]
    pages = pages_of(cards, [["A1", "A2"], ["B1", "B2"], ["C1", "C2", "C3"]])
    assert [page.title for page in pages] == ["A1", "A2"]
    assert pages[1].columns == ["C1", "C2", "C3"]
    assert [label for label, _ in pages[1].rows] == ["B1", "B2"]
    assert [[one.index for one in cell] for cell in pages[1].rows[1][1]] == [[9], [10], [11]]


def test_runs_that_share_a_place_stand_together() -> None:
    (page,) = pages_of([card(0, (0, 0)), card(1, (0, 0))], [["a"], ["b"]])
    assert [one.index for one in page.rows[0][1][0]] == [0, 1]


def test_one_axis_is_shown_in_a_row() -> None:
    (page,) = pages_of([card(0, (0,)), card(1, (1,))], [["a", "b"]])
    assert (page.columns, [one.index for one in page.cards]) == ((), [0, 1])


def test_no_text_becomes_markup() -> None:
    plain = Seen(gallery([card(0, (0, 0)), card(1, (0, 1), problem="x")], [["r"], ["a", "b"]]))
    evil = Seen(gallery([card(0, (0, 0), text=EVIL), card(1, (0, 1), problem=EVIL, text=EVIL)],
                        [[EVIL], [EVIL, EVIL]], EVIL))  # fmt: skip
    assert evil.tags == plain.tags
    assert evil.texts.count(EVIL) >= 10
    assert plain.tags.count("script") == 1
    assert not [name for name, _ in evil.attributes if name.startswith("on")]
    sources = [value or "" for name, value in evil.attributes if name in ("src", "href")]
    assert sources
    assert all(value.startswith(("data:image/", "./")) for value in sources)


def test_failures_show_their_reason_and_values() -> None:
    seen = Seen(gallery([card(3, problem="out of memory")], []))
    assert {"out of memory", "#3 · 1.5 s"} <= set(seen.texts)


def test_only_a_gallery_loads_jinja() -> None:
    code = "import sys, invokeai_gen.sweeps.sweep, invokeai_gen.sweeps.files.gallery; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_runs_its_script_and_sorts(tmp_path: Path) -> None:
    html = gallery([card(0, (0, 0), text=EVIL), card(1, (0, 1), text=EVIL)], [["r"], ["a", "b"]], "Seeds")
    html = html.replace('<option value="1">', '<option value="1" selected>')  # the index backwards
    page = tmp_path / "gallery.html"
    page.write_bytes(html.encode("utf-8", "replace"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run(
        ["chromium", *flags, "--dump-dom", page.as_uri()],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    assert "<title>Seeds</title>" in done.stdout
    flow = done.stdout.partition('id="flow"')[2]
    assert re.findall(r"#(\d) · 1.5 s", flow) == ["1", "0"]
