"""`pull`: save the node types of a running server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("pull", short_help="Save the node types of a running server.")
@click.option("--server", metavar="URL", help="Default: INVOKEAI_URL, else http://localhost:9090.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("openapi.json"),
    show_default=True,
    help="File to write.",
)
def command(server: str | None, output: Path) -> None:
    """Save a running server's openapi.json, with the server's version in it, for use with --openapi.

    Do this once for a server with custom nodes, or of another version than the snapshot that ships.

    \b
    Example:
      invokeai-gen pull --server http://192.168.1.20:9090 -o openapi.json
    """
    import json

    from invokeai_gen.cli.sources import fetch_openapi
    from invokeai_gen.codegen.folder import write_text
    from invokeai_gen.schema import Schema

    document = fetch_openapi(server)
    schema = Schema(document, source=server or "the server")
    write_text(output, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    click.echo(f"{output}: InvokeAI {schema.version}, {len(list(schema.node_types))} node types")
