"""The server that a command talks to, and the node types that it works with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from invokeai_gen.cli.settings import Settings, find_settings
from invokeai_gen.cli.terminal import logged_warnings, print_messages
from invokeai_gen.server import constants

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.schema import Schema


def server_address(server: str | None, settings: Settings) -> str | None:
    """Return the server of the command line, else of `INVOKEAI_URL`, else of pyproject.toml; `None` for the default."""
    return server or os.environ.get("INVOKEAI_URL") or settings.server


def server_token(server: str | None, settings: Settings) -> str | None:
    """Return the `token` to open a client with: `None` for `INVOKEAI_TOKEN`, or `""` for no token.

    A project that somebody cloned must not get the token of an account by naming a server: `INVOKEAI_TOKEN` is sent to
    the address of `--server` or `INVOKEAI_URL`, to the default one and to this machine, but to another one that only
    pyproject.toml names not.
    """
    from invokeai_gen.server.address import public_url

    if server or os.environ.get("INVOKEAI_URL") or not settings.server or _is_loopback(settings.server):
        return None
    if os.environ.get("INVOKEAI_TOKEN"):
        shown = public_url(settings.server)
        hint = "INVOKEAI_TOKEN is not sent to {0}, which only pyproject.toml names; to send it, set INVOKEAI_URL={0}"
        print_messages("warning", [hint.format(shown)])
    return ""


def _is_loopback(url: str) -> bool:
    """Return whether a valid address is on this machine."""
    import ipaddress
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def make_client(server: str | None, seconds: float | None = constants.COMMAND_TIMEOUT) -> InvokeAIClient:
    """Return a client for the server that `server_address` returns. Nothing is sent yet.

    `seconds` limits each request, so that a server that never finishes its answer does not hold the command.
    """
    from invokeai_gen.client import InvokeAIClient

    settings = find_settings()
    token = server_token(server, settings)
    return InvokeAIClient(server_address(server, settings), token=token, request_timeout=seconds)


@contextlib.contextmanager
def open_client(server: str | None, *, is_run: bool = False) -> Iterator[InvokeAIClient]:
    """Open a client after asking whether InvokeAI answers at its address.

    `is_run` sets no time limit, since transfers and large batches take as long as they take. Raise `NotInvokeAIError` if
    something else answers, and `ConnectionFailedError` if nothing does.
    """
    seconds = None if is_run else constants.COMMAND_TIMEOUT
    with logged_warnings(), make_client(server, seconds) as client:
        client.version()
        yield client


def schema_path(openapi: Path | None, server: str | None, settings: Settings) -> Path | None:
    """Return the openapi.json of the command line, else of pyproject.toml; `None` for a server's or the included one."""
    return openapi or (settings.openapi_path if server is None else None)


def open_schema(openapi: Path | None, server: str | None) -> Schema:
    """Return the node types that the options ask for. Raise `SchemaError` and the client's errors."""
    from invokeai_gen.schema import load_schema, shipped_schema

    path = schema_path(openapi, server, find_settings())
    if path is not None:
        return load_schema(path)
    if server is None:
        return shipped_schema()
    with open_client(server) as client:
        return fetch_schema(client)


def fetch_schema(client: InvokeAIClient) -> Schema:
    """Return a running server's node types, with its real version. Raise `SchemaError` for something else's openapi.json."""
    from invokeai_gen.schema import Schema
    from invokeai_gen.schema.openapi import with_version

    return Schema(with_version(client.openapi(), client.version, source=client.url), source=client.url)
