"""`InvokeAIClient`: a server, with handles on workflows."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any, Self

from invokeai_gen.handle.definition import WorkflowDefinition
from invokeai_gen.handle.handle import WorkflowHandle
from invokeai_gen.handle.repository import WorkflowRepository
from invokeai_gen.schema import Schema, shipped_schema
from invokeai_gen.schema.openapi import with_version
from invokeai_gen.server import client as server
from invokeai_gen.server.errors import ConnectionFailedError


class SnapshotWarning(UserWarning):
    """The server does not answer, so the node types of a workflow are not its own."""


class InvokeAIClient(server.InvokeAIClient):
    """One InvokeAI server, and the workflows that are opened on it.

    It is the client of `invokeai_gen.server`, so generated modules take it as well.
    """

    _schema: Schema | None = None

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The client for the server at an address; `options` are those of the constructor. Nothing is sent yet."""
        return cls(url, **options)

    @cached_property
    def workflow_repo(self) -> WorkflowRepository:
        """The workflows of the server: its library, and handles."""
        return WorkflowRepository(self)

    def create_workflow(self, definition: WorkflowDefinition, *, schema: Schema | None = None) -> WorkflowHandle:
        """Opens a workflow, to be run on this server; see `WorkflowRepository.create_workflow_handle`."""
        return self.workflow_repo.create_workflow_handle(definition, schema=schema)

    def schema(self, *, fresh: bool = False) -> Schema:
        """What the server's node types accept and return: its `/openapi.json`, asked for once.

        `fresh` asks again, such as after a node pack was installed. While the server cannot be reached it is what it
        said before, else the snapshot that ships with this package, with a `SnapshotWarning`; its `source` says which
        one it is. Raises `SchemaError` and `NotInvokeAIError` for an address where something else answers.
        """
        if self._schema is None or fresh:
            try:
                known = with_version(self.openapi(), self.version, source=self.url)
            except ConnectionFailedError:
                return self._schema or self._shipped_schema()
            self._schema = Schema(known, source=self.url)
        return self._schema

    def _shipped_schema(self) -> Schema:
        shipped = shipped_schema()
        warnings.warn(
            f"{self.url} does not answer: the node types are those of InvokeAI {shipped.version}, of which a snapshot "
            "ships with invokeai-gen; open the workflow again once the server is there",
            SnapshotWarning,
            stacklevel=3,
        )
        return shipped
