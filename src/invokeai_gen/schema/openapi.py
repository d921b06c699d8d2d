"""Read an openapi.json, and build the templates of node types when they are first asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, Final

from invokeai_gen import js_json, js_reading
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import in_key_order
from invokeai_gen.schema.templates import DENIED_NODE_TYPES, NodeTemplate, build_template
from invokeai_gen.shipped_files import openapi_path

VERSION_KEY: Final = "x-invokeai-version"
"""Where `invokeai-gen pull` notes the server's real version; `info.version` of InvokeAI is always 1.0.0."""

MAX_SCHEMA_BYTES: Final = 64 * 1024 * 1024
_OMITTED: Final = "x-invokeai-gen-omitted"
"""Marks a schema that an excerpt of a document does not have."""
_READING: Final = RLock()
"""Held while a schema is put in order, which changes it."""


class SchemaError(InvokeAIGenError):
    """Raised for an openapi.json that cannot be read, or is not from InvokeAI."""


class Schema:
    """The node types of one InvokeAI server.

    `document` is the parsed openapi.json, `source` the name that messages use for it. If the document is an excerpt,
    `whole` loads the rest when it is needed. Raises `SchemaError` if the document has no node types.
    """

    def __init__(self, document: Mapping[str, Any], *, source: str, whole: Callable[[], Schema] | None = None) -> None:
        schemas = _member(_member(document, "components"), "schemas")
        if not isinstance(schemas, dict):
            raise SchemaError(f"{source}: not an openapi.json: it has no components.schemas")
        self.source = source
        self.document = document
        self._schemas = _Schemas(schemas, source, whole)
        self.schemas: Mapping[str, Any] = self._schemas
        version = _member(_member(document, "info"), VERSION_KEY)
        self.version = version if isinstance(version, str) else ""
        self._templates: dict[str, NodeTemplate | None] = {}
        self._enums: dict[str, frozenset[str]] = {}
        self._schema_names = dict(_node_types(schemas))
        if not self._schema_names:
            raise SchemaError(f'{source}: has no InvokeAI node types (schemas with "class": "invocation")')

    @property
    def node_types(self) -> Iterable[str]:
        """Every node type that the GUI offers."""
        return self._schema_names.keys()

    def template(self, node_type: str) -> NodeTemplate | None:
        """Return the template of a node type; `None` if the server does not have it. Raises `SchemaError` if it is malformed."""
        if node_type not in self._templates:
            name = self._schema_names.get(node_type)
            try:
                self._templates[node_type] = build_template(name, self.schemas) if name else None
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise SchemaError(f"{self.source}: the schema of node type {node_type!r} is malformed") from error
        return self._templates[node_type]

    def enum(self, name: str) -> frozenset[str]:
        """Return the values of a named enum such as `BaseModelType`; empty if there is no such enum."""
        if name not in self._enums:
            values = _member(self.schemas.get(name), "enum")
            texts = (item for item in values if isinstance(item, str)) if isinstance(values, list) else ()
            self._enums[name] = frozenset(texts)
        return self._enums[name]

    def fingerprint(self, node_types: Iterable[str]) -> str:
        """Return a SHA-256 over the schemas of some node types, which changes only if one of them does."""
        digest = hashlib.sha256()
        for node_type in sorted(set(node_types)):
            template = self.template(node_type)
            if template is not None:
                used = [self.schemas[name] for name in template.schema_names]
                digest.update(json.dumps([node_type, used], sort_keys=True, ensure_ascii=True).encode())
        return digest.hexdigest()

    def excerpt(self) -> dict[str, Any] | None:
        """Return the document with only the schemas that were used so far; `None` if it was no more than that."""
        if not self._schemas.is_whole:
            return None
        schemas: dict[str, Any] = {name: {_OMITTED: True} for name in self.schemas}
        for node_type, name in self._schema_names.items():
            schemas[name] |= {"class": "invocation", "properties": {"type": {"default": node_type}}}
        return {"info": {VERSION_KEY: self.version}, "components": {"schemas": schemas | self._schemas.used}}


class _Schemas(Mapping[str, Any]):
    """The schemas of a document, each put in JavaScript's order when it is first used: most never are."""

    def __init__(self, schemas: dict[str, Any], source: str, whole: Callable[[], Schema] | None) -> None:
        self._schemas = in_key_order(schemas.items())
        self._source = source
        self._whole = cache(whole) if whole is not None else None
        self.is_whole = whole is None
        """Whether there is more than an excerpt has."""
        self.used: dict[str, Any] = {}
        if whole is not None:
            self.used = {name: schema for name, schema in self._schemas.items() if not _member(schema, _OMITTED)}

    def __getitem__(self, name: str) -> Any:
        if name not in self.used:
            with _READING:
                if name not in self.used:
                    self.used[name] = self._read(name)
        return self.used[name]

    def _read(self, name: str) -> Any:
        schema = self._schemas[name]
        if self._whole is not None:
            self.is_whole = True
            return self._whole().schemas[name]
        try:
            js_reading.put_in_order(schema)
        except ValueError as error:
            raise SchemaError(f"{self._source}: the schema {name!r} is {error}") from error
        return schema

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemas)

    def __len__(self) -> int:
        return len(self._schemas)


def _node_types(schemas: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the node types that the GUI offers, each with the name of its schema."""
    for name, schema in schemas.items():
        if isinstance(schema, dict) and schema.get("class") == "invocation":
            node_type = _member(_member(_member(schema, "properties"), "type"), "default")
            if isinstance(node_type, str) and node_type not in DENIED_NODE_TYPES:
                yield node_type, name


def _member(value: Any, key: str) -> Any:
    """Return the value under a key of a JSON object; `None` if it is missing or `value` is not an object."""
    return value.get(key) if isinstance(value, dict) else None


def with_version(document: Any, version: Callable[[], str], *, source: str) -> dict[str, Any]:
    """Return a server's openapi.json with the version of InvokeAI added to it.

    `version` is only called if the document can be InvokeAI's; `source` is the name of the server in messages. Raises
    `SchemaError`.
    """
    info = document.get("info", {}) if isinstance(document, dict) else None
    if not isinstance(info, dict):
        raise SchemaError(f"{source}: its openapi.json is not InvokeAI's")
    return {**js_json.normalized(document), "info": {**js_json.normalized(info), VERSION_KEY: version()}}


def load_schema(path: Path, *, source: str = "") -> Schema:
    """Read an openapi.json from disk; `source` is its name in messages if it is not the path. Raises `SchemaError`."""
    source = source or str(path)
    try:
        if path.stat().st_size > MAX_SCHEMA_BYTES:
            raise SchemaError(f"{source}: larger than {MAX_SCHEMA_BYTES // 2**20} MiB, not an openapi.json")
        document = js_reading.loads_unordered(path.read_bytes())
    except OSError as error:
        raise SchemaError(f"{source}: {error.strerror or error}") from error
    except ValueError as error:
        raise SchemaError(f"{source}: not JSON: {error}") from error
    return Schema(document, source=source)


def shipped_schema() -> Schema:
    """Return the snapshot that comes with the package."""
    return load_schema(openapi_path(), source="the schema that ships with invokeai-gen")
