"""Reading untrusted JSON objects: every wrong shape is one `WorkflowError` that says where and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from invokeai_gen.js_json import trim
from invokeai_gen.workflow.errors import WorkflowError


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object and its place in the file, such as `nodes[3].data`."""

    data: dict[str, Any]
    path: str = ""

    @classmethod
    def of(cls, value: Any, path: str) -> JsonObject:
        if not isinstance(value, dict):
            raise wrong(path, "an object", value)
        return cls(value, path)

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, default: str | None = None) -> str:
        """A string, which must be there unless there is a default."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise wrong(self.at(key), "text", value)
        return value

    def name(self, key: str) -> str:
        """A string that is not blank, without the white space around it."""
        value = self._get(key, None)
        name = trim(value) if isinstance(value, str) else ""
        if not name:
            raise wrong(self.at(key), "a name that is not empty", value)
        return name

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise wrong(self.at(key), "true or false", value)
        return value

    def record(self, key: str) -> JsonObject:
        return JsonObject.of(self.data.get(key), self.at(key))

    def records(self, key: str, *, optional: bool = False) -> Iterator[JsonObject]:
        """The objects of a list."""
        items = self.data.get(key)
        if items is None and optional and key not in self.data:
            return
        if not isinstance(items, list):
            raise wrong(self.at(key), "a list", items)
        for index, item in enumerate(items):
            yield JsonObject.of(item, f"{self.at(key)}[{index}]")

    def members(self, key: str) -> Iterator[tuple[str, JsonObject]]:
        """The objects of an object, by key."""
        for name, item in self.record(key).data.items():
            yield name, JsonObject.of(item, f"{self.at(key)}.{name}")

    def version(self, key: str) -> str:
        """A version of three numbers, `1.2.3`."""
        value = self.text(key)
        if not is_version(value):
            raise wrong(self.at(key), "a version such as 1.0.0", value)
        return value

    def _get(self, key: str, default: Any) -> Any:
        return self.data.get(key, default)


def is_version(value: object) -> bool:
    parts = value.split(".") if isinstance(value, str) else []
    return len(parts) >= 3 and all(part.strip().isdecimal() or not part.strip() for part in parts[:3])


def wrong(path: str, expected: str, value: Any) -> WorkflowError:
    """An error in plain words: `nodes[3].data.label: expected text, found null`."""
    return WorkflowError(f"{path}: expected {expected}, found {_described(value)}")


def _described(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
