"""Read untrusted JSON objects: any wrong shape is a `WorkflowError` with the place and the expected type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_reading import trim
from invokeai_gen.texts import shown


class WorkflowError(InvokeAIGenError):
    """Raised for a file that is not a workflow, or that the GUI refuses to load."""


@dataclass(slots=True)
class JsonObject:
    """A JSON object and its place in the file, such as `nodes[3].data`."""

    data: dict[str, Any]
    path: str = ""

    @classmethod
    def of(cls, value: Any, path: str) -> JsonObject:
        """Return the object at a path. Raises `WorkflowError` if the value is not an object."""
        if not isinstance(value, dict):
            raise wrong(path, "an object", value)
        return cls(value, path)

    def at(self, key: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; it is required unless there is a default."""
        value = self.data.get(key, default)
        if not isinstance(value, str):
            raise wrong(self.at(key), "text", value)
        return value

    def name(self, key: str) -> str:
        """Return a string that is not blank, without surrounding white space."""
        value = self.data.get(key)
        name = trim(value) if isinstance(value, str) else ""
        if not name:
            raise wrong(self.at(key), "a name that is not empty", value)
        return name

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return a boolean; it is required unless there is a default."""
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            raise wrong(self.at(key), "true or false", value)
        return value

    def record(self, key: str) -> JsonObject:
        """Return a member that is an object."""
        return JsonObject.of(self.data.get(key), self.at(key))

    def records(self, key: str) -> Iterator[JsonObject]:
        """Yield the objects in a list."""
        items = self.data.get(key)
        if not isinstance(items, list):
            raise wrong(self.at(key), "a list", items)
        path = self.at(key)
        for index, item in enumerate(items):
            yield JsonObject.of(item, f"{path}[{index}]")

    def members(self, key: str) -> Iterator[tuple[str, JsonObject]]:
        """Yield the objects in an object, by key."""
        record = self.record(key)
        for name, item in record.data.items():
            yield name, JsonObject.of(item, f"{record.path}.{name}")

    def version(self, key: str) -> str:
        """Return a version of three numbers, such as `1.2.3`."""
        value = self.text(key)
        parts = value.split(".")
        # The GUI also accepts numbers that are empty, and anything behind the third one.
        if len(parts) < 3 or not all(part.strip().isdecimal() or not part.strip() for part in parts[:3]):
            raise wrong(self.at(key), "a version such as 1.0.0", value)
        return value


def wrong(path: str, expected: str, value: Any) -> WorkflowError:
    """Return an error such as `nodes[3].data.label: expected text, found nothing`."""
    return WorkflowError(f"{path}: expected {expected}, found {_described(value)}")


def _described(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return shown(value, 60)
