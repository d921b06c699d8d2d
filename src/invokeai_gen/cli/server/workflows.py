"""`workflows`: the workflow library of a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from invokeai_gen.cli.completion import complete_library
from invokeai_gen.cli.files import read_bytes, save_text
from invokeai_gen.cli.help import CommandGroup, SuggestingChoice
from invokeai_gen.cli.named_workflow import LibraryError, file_names, find_saved
from invokeai_gen.cli.options import output_option, server_option
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo, echo_done, echo_json, one_line, print_messages
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.server.workflows import SavedWorkflow


@click.group("workflows", cls=CommandGroup)
def command() -> None:
    """List, download, upload and delete the workflows of a server's library.

    \b
    Examples:
      invokeai-gen workflows list
      invokeai-gen workflows pull "My Portrait" -o workflows
      invokeai-gen workflows push portrait.json
      invokeai-gen workflows rm "My Portrait"
    """


_category = click.option(
    "--category",
    type=SuggestingChoice(["user", "default"]),
    help="Only workflows of users, or only those that InvokeAI includes.",
)


@command.command("list")
@_category
@click.option("--search", metavar="TEXT", help="Only those with this text in the name, the description or the tags.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@server_option
def list_(category: Literal["user", "default"] | None, search: str | None, as_json: bool, server: str | None) -> None:
    """List the server's workflows: category, name and id."""
    with open_client(server) as client:
        found = client.workflows.list(category=category, search=search)
    if as_json:
        keys = ("workflow_id", "name", "category", "description", "tags")
        echo_json([{key: getattr(item, key) for key in keys} for item in found])
        return
    width = max((len(item.name) for item in found), default=0)
    for item in found:
        echo(one_line(f"{item.category:<7}  {item.name:<{width}}  {item.workflow_id}"))


@command.command("pull", short_help="Save workflows of the server as files.")
@click.argument("names", metavar="[NAME|ID]...", nargs=-1, shell_complete=complete_library)
@click.option("--all", "everything", is_flag=True, help="All workflows.")
@_category
@output_option("Folder to write to.", default=Path("workflows"), is_folder=True)
@click.option("--force", is_flag=True, help="Overwrite existing files that differ.")
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
    if everything == bool(names):
        raise click.UsageError("give names or --all" if not names else "names and --all exclude each other")
    failed = False
    with open_client(server) as client:
        listed = client.workflows.list(category=category)
        chosen = listed if everything else _named(names, listed)
        files = file_names(chosen)
        for item in chosen:
            path = output / files[item.workflow_id]
            text = _file_text(client.workflows.get(item.workflow_id).workflow)
            try:
                is_same = path.is_file() and read_bytes(path) == text.encode()
                if not is_same:
                    save_text(path, text, overwrite=force)
            except InvokeAIGenError as error:
                print_messages("error", [str(error)])
                failed = True
            else:
                echo_done(f"{'unchanged' if is_same else 'written  '}  {path}  ({one_line(item.name)})")
    if failed:
        sys.exit(1)


@command.command("push")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--replace",
    metavar="NAME|ID",
    shell_complete=complete_library,
    help="Replace this workflow of the library instead of adding one.",
)
@server_option
def push(files: tuple[Path, ...], replace: str | None, server: str | None) -> None:
    """Add workflow files to the server's library.

    \b
    Examples:
      invokeai-gen workflows push portrait.json
      invokeai-gen workflows push portrait.json --replace "My Portrait"
    """
    if replace is not None and len(files) > 1:
        raise click.UsageError("--replace takes one file")
    contents = [_contents(path) for path in files]
    with open_client(server) as client:
        old = None
        if replace is not None:
            (old,) = _named([replace], client.workflows.list(), to_be="replaced")
        for path, content in zip(files, contents, strict=True):
            if old is None:
                saved = client.workflows.create(content)
            else:
                saved = client.workflows.update(old.workflow_id, content)
            echo_done(f"{'replaced' if old else 'added'}  {saved.workflow_id}  {one_line(saved.name)}  ({path})")


@command.command("rm")
@click.argument("names", metavar="NAME|ID...", nargs=-1, required=True, shell_complete=complete_library)
@server_option
def remove(names: tuple[str, ...], server: str | None) -> None:
    """Delete workflows from the server's library. Those that InvokeAI includes cannot be deleted."""
    with open_client(server) as client:
        for item in _named(names, client.workflows.list(), to_be="deleted"):
            client.workflows.delete(item.workflow_id)
            echo_done(f"deleted  {item.workflow_id}  {one_line(item.name)}")


def _named(names: Sequence[str], listed: Sequence[SavedWorkflow], *, to_be: str = "") -> list[SavedWorkflow]:
    """Return the workflows of these names or ids, each once. Raise `LibraryError` for one that is to be changed and cannot."""
    found = {item.workflow_id: item for item in (find_saved(name, listed) for name in names)}
    for item in found.values():
        if to_be and item.category == "default":
            raise LibraryError(f"{item.name!r} is included in InvokeAI and cannot be {to_be}")
    return list(found.values())


def _file_text(workflow: Any) -> str:
    """Return what the GUI would download: the workflow without its id in this library."""
    if not isinstance(workflow, dict):
        raise LibraryError("the server's answer contains no workflow")
    content = {key: value for key, value in workflow.items() if key != "id"}
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _contents(path: Path) -> dict[str, Any]:
    """Return a workflow file that the GUI would open. Raise `LibraryError`, which has its name."""
    from invokeai_gen.schema import shipped_schema
    from invokeai_gen.workflow import WorkflowError, load_workflow, read_workflow_file

    try:
        data: dict[str, Any] = read_workflow_file(path).data
        load_workflow(data, shipped_schema())
    except WorkflowError as error:
        raise LibraryError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    return data
