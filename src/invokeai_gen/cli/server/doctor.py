"""`doctor`: is a server able to run generated modules?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from invokeai_gen.cli.completion import complete_modules
from invokeai_gen.cli.options import server_option
from invokeai_gen.cli.terminal import Colored, echo, echo_json, one_line

if TYPE_CHECKING:
    from invokeai_gen.cli.server.diagnosis import Finding


@click.command("doctor", short_help="Tell whether a server can run generated modules.")
@click.argument("modules", nargs=-1, shell_complete=complete_modules)
@server_option
@click.option(
    "--openapi",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The node types that the modules were generated from. Default: as for `generate`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(modules: tuple[str, ...], server: str | None, openapi: Path | None, as_json: bool) -> None:
    """Tell whether a server can run MODULES: generated modules (NAME or NAME.py), or folders of them; by default those
    of the project. Nothing is submitted.

    It compares the server's version, the schema of each node type that is used, and looks for the models, boards and
    images that the workflows name. What could go wrong is a warning, what will is an error.

    \b
    Examples:
      invokeai-gen doctor --server http://192.168.1.20:9090
      invokeai-gen doctor generated/portrait.py

    \b
    Exit codes:
      0  it can
      1  it cannot, or there is no answer from it
    """
    from dataclasses import asdict

    from invokeai_gen.cli.modules import find_modules
    from invokeai_gen.cli.server.diagnosis import diagnose, inventory_of
    from invokeai_gen.cli.servers import fetch_openapi, open_client, open_schema
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.schema import Schema

    settings = find_settings()
    plans = find_modules(modules, settings.output_path)
    known = open_schema(openapi, None, settings)
    with open_client(server, settings) as client:
        schema = Schema(fetch_openapi(client), source=client.url)
        inventory = inventory_of(client, [plan for _, plan in plans])
        url = client.url
    found = {name: diagnose(plan, schema, known, inventory) for name, plan in plans}
    is_able = not any(item.kind == "error" for items in found.values() for item in items)
    if as_json:
        report = {name: [asdict(item) for item in items] for name, items in found.items()}
        answer = {"server": url, "version": schema.version, "able": is_able, "modules": report}
        echo_json(answer)
    else:
        echo(f"{url}: InvokeAI {schema.version}")
        for name, items in found.items():
            _print(name, items)
    sys.exit(0 if is_able else 1)


def _print(name: str, findings: list[Finding]) -> None:

    errors = sum(item.kind == "error" for item in findings)
    echo(Colored("cannot", "red") if errors else Colored("ok    ", "green"), f" {one_line(name)}")
    for item in findings:
        kind = Colored(item.kind, "red" if item.kind == "error" else "yellow")
        echo("  ", kind, ": ", one_line(f"{item.where}: {item.problem}"))
