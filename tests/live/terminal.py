"""Pictures of a terminal and of an editor's completions for the pages, as SVG that needs nothing from elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from io import StringIO
from pathlib import Path
from typing import Final

import jedi
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

WIDTH: Final = 96
_FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def session(picture: str, *commands: str) -> None:
    """Run commands in a terminal, and draw what is on the screen at the end."""
    lines: list[Text] = []
    for command in commands:
        lines.append(Text.assemble(("$ ", "bold green"), command))
        lines.extend(Text.from_ansi(line) for line in _printed(command).splitlines())
    _draw(picture, *lines)


def completions(picture: str, code: str) -> None:
    """Draw what jedi, the library behind completion in Jupyter and Vim, offers at the end of the code."""
    last = code.rpartition("\n")[2]
    offered = Table.grid(padding=(0, 2))
    for each in jedi.Script(code).complete()[:8]:
        offered.add_row(f"[on grey23] {each.name:16}[/] ", f"[dim]{each.type}[/]")
    _draw(picture, Syntax(code, "python", theme="ansi_dark"), Padding(offered, (0, 0, 0, len(last))))


def _printed(command: str) -> str:
    """Return what a command writes to a terminal."""
    main, side = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    streams = {"stdin": side, "stdout": side, "stderr": side}
    process = subprocess.Popen(command, shell=True, env=environment, **streams)
    os.close(side)
    written = bytearray()
    try:
        while part := os.read(main, 65536):
            written += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(main)
        process.wait()
    return written.decode().replace("\r\n", "\n")


def _draw(picture: str, *lines: RenderableType) -> None:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line)
    svg = console.export_svg(title="", code_format=_FORMAT, unique_id="terminal")
    Path(picture).write_text(re.sub(r" +$", "", svg, flags=re.MULTILINE), encoding="utf-8")
