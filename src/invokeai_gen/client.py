"""`InvokeAIClient`: one InvokeAI server, and the workflows that are opened on it."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Self, Unpack

from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.client import shared_client

if TYPE_CHECKING:
    from invokeai_gen.handle.definition import WorkflowDefinition
    from invokeai_gen.handle.handle import WorkflowHandle
    from invokeai_gen.handle.repository import WorkflowRepository
    from invokeai_gen.schema import Schema
    from invokeai_gen.server.client import ClientOptions


class InvokeAIClient(ServerClient):
    """One InvokeAI server: its boards, images, models and queue, and the workflows that are opened on it.

    Generated modules take it as `client`. `url` defaults to the environment variable `INVOKEAI_URL`, else to
    `http://localhost:9090`; `token` to `INVOKEAI_TOKEN`. For the other options see `ClientOptions`: `timeout`,
    `max_retries`, `headers`, `verify`, `proxy`, `unreachable_after`, `queue_id`.

    Nothing is sent before it is needed. May be used from several threads at once. In a `with` block, or with
    `close()`, its connections are closed; otherwise that happens when the client is no longer used.
    """

    @classmethod
    def from_url(cls, url: str, **options: Unpack[ClientOptions]) -> Self:
        """Return the client for the server at an address; `options` are the same as for the constructor. Nothing is sent yet."""
        return cls(url, **options)

    @cached_property
    def workflow_repo(self) -> WorkflowRepository:
        """The workflow library of the server, and handles on workflows."""
        from invokeai_gen.handle.repository import WorkflowRepository

        return WorkflowRepository(self)

    def create_workflow(
        self,
        definition: WorkflowDefinition,
        *,
        schema: Schema | None = None,
        modules: str | os.PathLike[str] | None = None,
    ) -> WorkflowHandle:
        """Open a workflow, to be run on this server; see `WorkflowRepository.create_workflow_handle`."""
        return self.workflow_repo.create_workflow_handle(definition, schema=schema, modules=modules)

    def schema(self, *, fresh: bool = False) -> Schema:
        """Return the node types of the server, from its `/openapi.json`, fetched once.

        `fresh` fetches it again, for instance after a node pack was installed. If the server cannot be reached, return
        its previous answer, else the snapshot that ships with this package, with a `SnapshotWarning`; `source` says
        which one it is. Raise `SchemaError` and `NotInvokeAIError` if something else answers at the address.
        """
        return self.workflow_repo.schema(fresh=fresh)


def default_client(url: str | None = None) -> InvokeAIClient:
    """Return a client on the connections that are shared by all calls in this process without a client of their own.

    The address is `url`, else `INVOKEAI_URL`, else `http://localhost:9090`. They are closed when the process ends.
    """
    return InvokeAIClient.around(shared_client(url))
