"""`pull`: save the node types of a running server."""

from __future__ import annotations

from pathlib import Path

import click

from invokeai_gen.cli.files import save_text
from invokeai_gen.cli.options import output_option, server_option
from invokeai_gen.cli.servers import fetch_schema, open_client
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.cli.terminal import echo_done
from invokeai_gen.errors import InvokeAIGenError


@click.command("pull")
@server_option
@output_option("File to write. Default: `openapi` of pyproject.toml, else openapi.json.")
@click.option("--force", is_flag=True, help="Overwrite the file even if it is something else.")
def command(server: str | None, output: Path | None, force: bool) -> None:
    """Save a running server's openapi.json, with the server's version in it, for use with --openapi.

    Do this once for a server with custom nodes, or of another version than the included snapshot. An existing
    openapi.json is replaced; any other file only with --force.

    \b
    Example:
      invokeai-gen pull --server http://192.168.1.20:9090 -o openapi.json
    """
    import json

    from invokeai_gen.schema import SchemaError, load_schema

    output = output or find_settings().openapi_path or Path("openapi.json")
    if not force and output.exists():
        try:
            load_schema(output)
        except SchemaError as error:
            raise InvokeAIGenError(f"{output}: not an openapi.json; --force overwrites it") from error
    with open_client(server) as client:
        schema = fetch_schema(client)
    save_text(output, json.dumps(schema.document, indent=1, ensure_ascii=False) + "\n")
    echo_done(f"{output}: InvokeAI {schema.version}, {len(list(schema.node_types))} node types")
