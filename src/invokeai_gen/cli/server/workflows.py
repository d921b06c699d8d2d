"""`workflows`: the workflow library of a server."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from invokeai_gen.cli.sources import server_option
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.server.records import SavedWorkflow

_MAX_NAME: Final = 80
_WINDOWS_DEVICES: Final = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


class LibraryError(InvokeAIGenError):
    """Something in a server's library that is not there, or not as it was meant."""


@click.group("workflows", short_help="The server's library: list, pull, push, rm.")
def command() -> None:
    """The workflows that a server keeps: those of its users, and those that InvokeAI ships.

    \b
    Examples:
      invokeai-gen workflows list
      invokeai-gen workflows pull "My Portrait" -o workflows
      invokeai-gen workflows push portrait.json
      invokeai-gen workflows rm "My Portrait"
    """


_category = click.option(
    "--category", type=click.Choice(["user", "default"]), help="Only those of users, or only those that ship."
)


@command.command("list")
@_category
@click.option("--search", metavar="TEXT", help="Only those with this in name, description or tags.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@server_option
def list_(category: Literal["user", "default"] | None, search: str | None, as_json: bool, server: str | None) -> None:
    """List the server's workflows: id, category and name."""
    from invokeai_gen.cli.terminal import one_line

    with _client(server) as client:
        found = client.workflows.list(category=category, search=search)
    if as_json:
        keys = ("workflow_id", "name", "category", "description", "tags")
        click.echo(
            json.dumps([{key: getattr(item, key) for key in keys} for item in found], ensure_ascii=False, indent=2)
        )
        return
    for item in found:
        click.echo(one_line(f"{item.workflow_id:<36}  {item.category:<7}  {item.name}"))


@command.command("pull")
@click.argument("names", metavar="[NAME|ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@_category
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("workflows"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that are there and differ.")
@server_option
def pull(
    names: tuple[str, ...],
    everything: bool,
    category: Literal["user", "default"] | None,
    output: Path,
    force: bool,
    server: str | None,
) -> None:
    """Save workflows of the server as files, as the GUI would download them.

    \b
    Examples:
      invokeai-gen workflows pull "My Portrait"
      invokeai-gen workflows pull --all --category user -o workflows
    """
    from invokeai_gen.cli.files import save_text
    from invokeai_gen.cli.terminal import printable, tell

    if everything == bool(names):
        raise click.UsageError("name workflows, or say --all")
    failed = False
    with _client(server) as client:
        listed = client.workflows.list(category=category)
        chosen = listed if everything else [_find(name, listed) for name in names]
        files = file_names(chosen)
        for item in {item.workflow_id: item for item in chosen}.values():
            path = output / files[item.workflow_id]
            text = _file_text(client.workflows.get(item.workflow_id).workflow)
            try:
                is_same = path.is_file() and path.read_bytes() == text.encode()
                if not is_same:
                    save_text(path, text, overwrite=force)
            except InvokeAIGenError as error:
                tell("error", [str(error)])
                failed = True
            else:
                click.echo(f"{'unchanged' if is_same else 'written  '}  {path}  ({printable(item.name)})")
    if failed:
        sys.exit(1)


@command.command("push")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--replace", metavar="NAME|ID", help="Replace this workflow of the library instead of adding one.")
@server_option
def push(files: tuple[Path, ...], replace: str | None, server: str | None) -> None:
    """Add workflow files to the server's library.

    \b
    Examples:
      invokeai-gen workflows push portrait.json
      invokeai-gen workflows push portrait.json --replace "My Portrait"
    """
    from invokeai_gen.cli.terminal import printable

    if replace is not None and len(files) > 1:
        raise click.UsageError("--replace goes with one file")
    contents = [_contents(path) for path in files]
    with _client(server) as client:
        old = _find(replace, client.workflows.list()) if replace is not None else None
        if old is not None and old.category == "default":
            raise LibraryError(f"{old.name!r} ships with InvokeAI and cannot be replaced")
        for path, content in zip(files, contents, strict=True):
            if old is None:
                saved = client.workflows.create(content)
            else:
                saved = client.workflows.update(old.workflow_id, content)
            click.echo(f"{'replaced' if old else 'added'}  {saved.workflow_id}  {printable(saved.name)}  ({path})")


@command.command("rm")
@click.argument("names", metavar="NAME|ID...", nargs=-1, required=True)
@server_option
def remove(names: tuple[str, ...], server: str | None) -> None:
    """Delete workflows from the server's library. Those that InvokeAI ships stay."""
    from invokeai_gen.cli.terminal import printable

    with _client(server) as client:
        listed = client.workflows.list()
        chosen = [_find(name, listed) for name in names]
        for item in chosen:
            if item.category == "default":
                raise LibraryError(f"{item.name!r} ships with InvokeAI and cannot be deleted")
        for item in {item.workflow_id: item for item in chosen}.values():
            client.workflows.delete(item.workflow_id)
            click.echo(f"deleted  {item.workflow_id}  {printable(item.name)}")


def _client(server: str | None) -> AbstractContextManager[InvokeAIClient]:
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.cli.sources import open_client

    return open_client(server, find_settings())


def _find(wanted: str, listed: Sequence[SavedWorkflow]) -> SavedWorkflow:
    """The workflow of that id, else the only one of that name."""
    import difflib

    found = [item for item in listed if item.workflow_id == wanted] or [item for item in listed if item.name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(item.workflow_id for item in found)
        raise LibraryError(f"{len(found)} workflows are called {wanted!r}; say which by its id: {ids}")
    close = difflib.get_close_matches(wanted, [item.name for item in listed], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "`invokeai-gen workflows list` shows all"
    raise LibraryError(f"no workflow has the name or id {wanted!r}; {hint}")


def file_names(workflows: Sequence[SavedWorkflow]) -> dict[str, str]:
    """A file name for each workflow, by id: a plain name that stays in its folder, whatever the server says.

    Of several with one name, all get a part of their id.
    """
    stems = {item.workflow_id: _stem(item.name) for item in workflows}
    taken = [stem.casefold() for stem in stems.values()]
    return {
        key: f"{stem}.json" if taken.count(stem.casefold()) == 1 else f"{stem}-{_stem(key)}.json"
        for key, stem in stems.items()
    }


def _stem(name: str) -> str:
    """Letters, digits and `-` only: no separators, dots, controls, or names that Windows keeps for itself."""
    text = "".join(char if char.isalnum() else "-" for char in unicodedata.normalize("NFKC", name))
    text = "-".join(filter(None, text.split("-")))[:_MAX_NAME].strip("-") or "workflow"
    while len(text.encode()) > 2 * _MAX_NAME:  # file names are limited in bytes
        text = text[:-1]
    return f"{text}-workflow" if text.lower() in _WINDOWS_DEVICES else text


def _file_text(workflow: Any) -> str:
    """What the GUI's download has: the workflow without its id in this library."""
    if not isinstance(workflow, dict):
        raise LibraryError("the server's answer holds no workflow")
    return (
        json.dumps({key: value for key, value in workflow.items() if key != "id"}, ensure_ascii=False, indent=2) + "\n"
    )


def _contents(path: Path) -> dict[str, Any]:
    """A workflow file that the GUI would open. Raises `LibraryError`, which names it."""
    from invokeai_gen.schema import shipped_schema
    from invokeai_gen.workflow import WorkflowError, load_workflow, read_workflow_file

    try:
        data = read_workflow_file(path).data
        load_workflow(data, shipped_schema())
    except WorkflowError as error:
        raise LibraryError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    contents: dict[str, Any] = data
    return contents
