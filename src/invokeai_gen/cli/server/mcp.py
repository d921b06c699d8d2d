"""`mcp`: workflows as tools of an agent, over stdio or HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import click

from invokeai_gen.cli.named_workflow import names_in
from invokeai_gen.cli.options import server_option
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.cli.terminal import echo, echo_json, print_messages
from invokeai_gen.errors import InvokeAIGenError, MissingExtraError
from invokeai_gen.loading import missing

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema

_FOLDER: Any = click.Path(path_type=Path, file_okay=False)
_OLD_FOLDER: Any = click.Path(path_type=Path, file_okay=False, exists=True)
_CLIENTS: Any = click.Choice(["claude", "cursor", "vscode"])
_FORMATS: Any = click.Choice(["png", "jpeg", "webp"])


@click.command("mcp")
@click.argument("workflows", nargs=-1, metavar="WORKFLOWS...")
@server_option
@click.option("--http", "port", type=click.IntRange(1, 65535), help="Serve streamable HTTP on this port, not stdio.")
@click.option("--host", default="127.0.0.1", help="Address to listen on with --http.")
@click.option("--token", envvar="INVOKEAI_GEN_MCP_TOKEN", help="Bearer token that HTTP clients have to send.")
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds that one call may take.  [default: no limit]")
@click.option("--inline", type=_FORMATS, default="webp", help="Format of inline images.")
@click.option("--max-inline-kb", type=click.IntRange(min=0), default=256, help="0 for links only.")
@click.option("--allow-dir", "folders", multiple=True, type=_OLD_FOLDER, help="Folder with images that agents may use.")
@click.option("--save", type=_FOLDER, help="Folder to keep what was made, with a manifest.")
@click.option("--print-config", type=_CLIENTS, help="Print the settings for an MCP client, and exit.")
def command(
    workflows: tuple[str, ...],
    server: str | None,
    port: int | None,
    host: str,
    token: str | None,
    print_config: str | None,
    **call_settings: Any,
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
    url = None if port is None else f"http://{host}:{port}/mcp"
    if not workflows:
        raise click.UsageError("name at least one workflow: a file, a module, a folder, or a name in the library")
    if print_config is not None:
        entry = _client_entry(sys.argv[1:], url, token, call_settings["save"])
        servers = "servers" if print_config == "vscode" else "mcpServers"
        echo_json({servers: {"invokeai": entry}})
        return
    if find_spec("mcp") is None or find_spec("PIL") is None:
        raise MissingExtraError("`invokeai-gen mcp` needs", "mcp and Pillow", "mcp")
    from invokeai_gen.agents import quick_import

    # pydantic would search every installed package for plugins. An empty PYDANTIC_DISABLE_PLUGINS keeps them.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    unneeded = ["uvicorn"] if port is None else []  # the SDK uses it for HTTP only
    with quick_import(), missing(*unneeded):
        import asyncio
        import secrets
        import signal

        from invokeai_gen.agents.server import AgentServer
        from invokeai_gen.agents.tool import CallSettings
        from invokeai_gen.cli.servers import server_address, server_token
        from invokeai_gen.server.client import AsyncInvokeAIClient

        settings = find_settings()
        plans = _plans(workflows, server)

    async def serve() -> None:
        account = server_token(server, settings)
        async with AsyncInvokeAIClient(server_address(server, settings), token=account) as client:
            agents = AgentServer(plans, client, CallSettings(**call_settings))
            watching = asyncio.create_task(agents.watch())
            for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
                if number := getattr(signal, name, None):
                    signal.signal(number, signal.getsignal(signal.SIGINT))
            if port is None:
                await agents.run_stdio()
            else:
                secret = token or secrets.token_urlsafe(24)
                echo(f"{url} serves {len(agents.tools)} workflows of {client.url}", err=True)
                if token is None:
                    echo(f"clients send the header   Authorization: Bearer {secret}", err=True)
                await agents.run_http(host, port, secret)
            watching.cancel()

    asyncio.run(serve())


def _plans(names: Sequence[str], server: str | None) -> list[tuple[str, WorkflowPlan]]:
    """Return name and plan of every workflow; report those that cannot be used, and raise if none can."""
    from invokeai_gen.cli.named_workflow import find_workflow
    from invokeai_gen.cli.servers import open_schema, server_address
    from invokeai_gen.server.constants import DEFAULT_URL
    from invokeai_gen.server.errors import ConnectionFailedError

    @cache
    def schema() -> Schema:
        try:
            return open_schema(None, server_address(server, find_settings()) or DEFAULT_URL)
        except ConnectionFailedError as error:
            print_messages("warning", [f"{error}; the node types are those of pyproject.toml or the included ones"])
            return open_schema(None, None)

    plans = []
    for name in (file for given in names for file in names_in(given)):
        try:
            found = find_workflow(name, None, server, schema=schema)
            plans.append((found.stem, found.plan))
        except InvokeAIGenError as error:
            print_messages("warning", [f"left out: {line}" for line in str(error).splitlines()])
    if not plans:
        raise InvokeAIGenError("no workflow can be served; see the reasons above")
    return plans


def _client_entry(arguments: Sequence[str], url: str | None, token: str | None, save: Path | None) -> dict[str, Any]:
    """Return the settings of an MCP client for this very command, or for what serves HTTP at `url`."""
    if url is not None:
        return {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token or 'TOKEN'}"}}
    place = next(place for place, item in enumerate(arguments) if item.startswith("--print-config"))
    kept = [*arguments[:place], *arguments[place + (1 if "=" in arguments[place] else 2) :]]

    def absolute(item: str) -> str:
        """Return the argument for a client, which starts commands in a folder of its own."""
        option, equals, path = item.partition("=") if item.startswith("--") else ("", "", item)
        is_path = Path(path).exists() or Path(path) == save
        return f"{option}{equals}{Path(path).absolute()}" if is_path and path else item

    # Clients on a desktop have neither the PATH of a virtual environment nor the variables of a shell.
    address = os.environ.get("INVOKEAI_URL")
    return {
        "type": "stdio",
        "command": which("invokeai-gen") or "invokeai-gen",
        "args": [absolute(item) for item in kept],
        **({"env": {"INVOKEAI_URL": address}} if address else {}),
    }
