"""`mcp`: workflows as tools of an agent, over stdio or HTTP."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from invokeai_gen.cli.settings import Settings, find_settings
from invokeai_gen.cli.terminal import echo, print_messages
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema

_CLIENTS: Final = ("claude", "cursor", "vscode")


@click.command("mcp", short_help="Serve workflows as tools of an LLM agent (MCP).")
@click.argument("workflows", nargs=-1, metavar="WORKFLOWS...")
@click.option(
    "--server",
    metavar="URL",
    help="The InvokeAI server. Default: INVOKEAI_URL, else pyproject.toml, else http://localhost:9090.",
)
@click.option("--openapi", type=click.Path(path_type=Path), help="Node types to compile with, instead of the server's.")
@click.option("--http", "port", type=click.IntRange(1, 65535), help="Serve streamable HTTP on this port, not stdio.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on with --http.")
@click.option("--token", envvar="INVOKEAI_GEN_MCP_TOKEN", help="Bearer token that HTTP clients have to send.")
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds that one call may take.  [default: no limit]")
@click.option(
    "--inline",
    type=click.Choice(["png", "jpeg", "webp"]),
    default="webp",
    show_default=True,
    help="Format of inline images.",
)
@click.option(
    "--max-inline-kb",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="Size of one inline image; 0 for links only.",
)
@click.option(
    "--allow-dir",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder whose images agents may name by path.",
)
@click.option(
    "--save", type=click.Path(path_type=Path, file_okay=False), help="Folder to keep what was made, with a manifest."
)
@click.option("--print-config", type=click.Choice(_CLIENTS), help="Print the settings for an MCP client, and exit.")
def command(
    workflows: tuple[str, ...],
    server: str | None,
    openapi: Path | None,
    port: int | None,
    host: str,
    token: str | None,
    timeout: float | None,
    inline: Any,
    max_inline_kb: int,
    folders: tuple[Path, ...],
    save: Path | None,
    print_config: str | None,
) -> None:
    """Serve workflows as tools that LLM agents can call, with checked and labelled inputs.

    WORKFLOWS are exported JSON files, generated modules, folders of both, or names of workflows in the server's library.
    Images come back small, with a link that the next call takes as its input. Needs the extra `mcp`.

    \b
    Examples:
      invokeai-gen mcp portrait.json --server http://localhost:9090
      invokeai-gen mcp workflows --http 8765
      invokeai-gen mcp workflows --print-config claude
    """
    if print_config is not None:
        echo(json.dumps(_client_config(print_config, sys.argv[1:]), indent=2))
        return
    if not workflows:
        raise click.UsageError("name at least one workflow: a file, a module, a folder, or a name in the library")
    if find_spec("mcp") is None or find_spec("PIL") is None:
        raise InvokeAIGenError("this needs the extra `mcp`: pip install 'invokeai-gen[mcp]'")
    import asyncio
    import secrets

    from invokeai_gen.agents.calls import CallSettings
    from invokeai_gen.agents.pictures import Folders
    from invokeai_gen.agents.server import AgentServer
    from invokeai_gen.cli.servers import server_address, server_token
    from invokeai_gen.server.client import AsyncInvokeAIClient

    settings = find_settings()
    plans = [*_plans(workflows, server, openapi, settings)]
    call_settings = CallSettings(Folders(folders), timeout, inline, max_inline_kb * 1024, save)

    async def serve() -> None:
        async with AsyncInvokeAIClient(
            server_address(server, settings), token=server_token(server, settings)
        ) as client:
            agents = AgentServer(plans, client, call_settings)
            if port is None:
                await agents.run_stdio()
                return
            secret = token or secrets.token_urlsafe(24)
            echo(f"http://{host}:{port}/mcp serves {len(agents.tools)} workflows of {client.url}", err=True)
            if token is None:
                echo(f"clients send the header   Authorization: Bearer {secret}", err=True)
            await agents.run_http(host, port, secret)

    asyncio.run(serve())


def _plans(
    names: Sequence[str], server: str | None, openapi: Path | None, settings: Settings
) -> Iterator[tuple[str, WorkflowPlan]]:
    """Yield name and plan of every workflow; report those that cannot be used, and raise if none can."""
    from invokeai_gen.cli.named_workflow import find_workflow

    schema = cache(lambda: _schema(server, openapi, settings))
    count = 0
    for name in itertools.chain.from_iterable(map(_files_of, names)):
        try:
            found = find_workflow(name, openapi, server, settings, schema=schema)
        except InvokeAIGenError as error:
            print_messages("warning", [f"left out: {line}" for line in str(error).splitlines()])
            continue
        count += 1
        yield found.stem, found.plan
    if not count:
        raise InvokeAIGenError("no workflow can be served; see the reasons above")


def _files_of(name: str) -> list[str]:
    """Return the workflows in a folder: its generated modules, and the JSON files without one. Any other name is itself."""
    folder = Path(name)
    if not folder.is_dir():
        return [name]
    found = [path.with_suffix(".py") if path.with_suffix(".py").is_file() else path for path in folder.glob("*.json")]
    return sorted(map(str, found))


def _schema(server: str | None, openapi: Path | None, settings: Settings) -> Schema:
    """Return the node types of `--openapi`, else of the server; while that is away, those that ship with the package."""
    from invokeai_gen.cli.servers import open_schema, schema_path, server_address
    from invokeai_gen.schema import shipped_schema
    from invokeai_gen.server.errors import ConnectionFailedError

    if schema_path(openapi, None, settings) is not None:
        return open_schema(openapi, None, settings)
    try:
        return open_schema(None, server_address(server, settings) or "http://localhost:9090", settings)
    except ConnectionFailedError as error:
        print_messages("warning", [f"{error}; the node types are those that ship with invokeai-gen"])
        return shipped_schema()


def _client_config(client: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the settings that make an MCP client start this very command, without `--print-config`."""
    given = [*arguments]
    if "--print-config" in given:
        place = given.index("--print-config")
        del given[place : place + 2]
    given = [item for item in given if not item.startswith("--print-config=")]
    entry: dict[str, Any] = {"command": "invokeai-gen", "args": [_absolute(item) for item in given]}
    if client == "vscode":
        return {"servers": {"invokeai": {"type": "stdio", **entry}}}
    return {"mcpServers": {"invokeai": entry}}


def _absolute(argument: str) -> str:
    """Return a path that exists as an absolute one: MCP clients start commands in a folder of their own."""
    return str(Path(argument).absolute()) if Path(argument).exists() else argument
