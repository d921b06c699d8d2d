"""`models`: a server's models and boards as Python constants, for completion in the editor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from invokeai_gen.cli.files import read_bytes, save_text
from invokeai_gen.cli.options import output_option, server_option
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo_done
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.codegen.names import PythonIdentifier
    from invokeai_gen.codegen.source import Source
    from invokeai_gen.server.boards import Board
    from invokeai_gen.server.models import Model

_TAKEN: Final = frozenset({"BoardRef", "Boards", "Final", "ModelRef", "None", "True", "False"})
"""Names that a class for a type of models cannot have."""


@click.command("models")
@output_option("File to write.", default=Path("server_models.py"))
@click.option("--force", is_flag=True, help="Overwrite the file even if invokeai-gen did not write it.")
@server_option
def command(output: Path, force: bool, server: str | None) -> None:
    """Write a Python module that names every model and board of a server, so that an editor completes them.

    \b
    Examples:
      invokeai-gen models --server http://localhost:9090 -o server_models.py
    \b
    And then in Python:
      from server_models import Boards, Main
      portrait.run(portrait.Params(model=Main.dreamshaper_8, board=Boards.portraits))
    """
    from invokeai_gen.codegen.generated_files import is_generated

    if output.exists() and not force and not is_generated(read_bytes(output).decode(errors="replace")):
        raise InvokeAIGenError(f"{output}: was not made by invokeai-gen; --force overwrites it")
    with open_client(server) as client:
        version, models, boards = client.version(), client.models.list(), client.boards.list()
    save_text(output, module_text(models, boards, version))
    echo_done(f"{output}: {len(models)} models, {len(boards)} boards of InvokeAI {version}")


def module_text(models: Sequence[Model], boards: Sequence[Board], version: str) -> str:
    """Return the text of the module, which does not depend on the order of models and boards."""
    from invokeai_gen.codegen.generated_files import stamped
    from invokeai_gen.codegen.module import formatted
    from invokeai_gen.codegen.source import docstring, literal

    body: list[str] = []
    exports: list[str] = []
    for kind, group in _by_type(models):
        exports.append(kind)
        body += [f"class {kind}:", f"    {docstring(f'Models of the type {group[0].type}.', 4)}", ""]
        labels = [(item.name, (item.base, item.format or "")) for item in group]
        for item, name in zip(group, _names(labels, "model"), strict=True):
            fields = {key: literal(getattr(item, key)) for key in ("key", "hash", "name", "base", "type")}
            body += _constant(name, "ModelRef", fields, str(item))
    if boards:
        exports.append("Boards")
        body += ["class Boards:", f"    {docstring('Boards of the gallery.', 4)}", ""]
        ordered = sorted(boards, key=lambda board: (board.board_name, board.board_id))
        for board, name in zip(ordered, _names([(item.board_name, ()) for item in ordered], "board"), strict=True):
            body += _constant(name, "BoardRef", {"id": literal(board.board_id)}, board.board_name)
    head: list[str] = [docstring(f"Models and boards of a server with InvokeAI {version}."), ""]
    used = ["BoardRef"] * bool(boards) + ["ModelRef"] * bool(models)
    if used:
        head += ["from typing import Final", "", f"from invokeai_gen import {', '.join(used)}", ""]
    head.append(f"__all__ = {literal(sorted(exports))}")
    return stamped(formatted("\n".join((*head, *body)) + "\n"))


def _constant(name: PythonIdentifier, kind: str, fields: dict[str, Source], about: str) -> list[str]:
    from invokeai_gen.codegen.source import docstring

    arguments = ", ".join(f"{key}={value}" for key, value in fields.items())
    return [f"    {name}: Final = {kind}({arguments})", f"    {docstring(about, 4)}"]


def _by_type(models: Sequence[Model]) -> Iterable[tuple[PythonIdentifier, list[Model]]]:
    """Yield the models of each type with the name of their class."""
    from invokeai_gen.codegen.names import PythonIdentifier, identifier, pascal, words_of

    groups: dict[str, list[Model]] = {}
    for model in sorted(models, key=lambda item: (item.type, item.name, item.base, item.hash, item.key)):
        groups.setdefault(model.type, []).append(model)
    used = set(_TAKEN)
    for kind, group in groups.items():
        name = identifier(pascal(words_of(kind)), fallback="Models")
        while name in used:
            name = PythonIdentifier(f"{name}_")
        used.add(name)
        yield name, group


def _names(labels: Sequence[tuple[str, tuple[str, ...]]], fallback: str) -> list[PythonIdentifier]:
    """Return a name for each label; equal names get the words beside them, and last a number."""
    from invokeai_gen.codegen.names import identifier, words_of

    texts = [words_of(label) for label, _ in labels]
    extras = [list(more) for more in zip(*(beside for _, beside in labels), strict=True)]
    while True:
        names = [identifier(text, fallback=fallback) for text in texts]
        count = Counter(names)
        if len(count) == len(names):
            return names
        more = extras.pop(0) if extras else [str(number) for number in range(1, len(names) + 1)]
        for place, name in enumerate(names):
            if count[name] > 1:
                texts[place] = "_".join(filter(None, (texts[place], words_of(more[place]))))
