"""`[tool.invokeai-gen]` in pyproject.toml: settings of a project, instead of options on every command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from invokeai_gen.cli.files import read_bytes
from invokeai_gen.cli.help import did_you_mean
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.texts import shown

TABLE: Final = "invokeai-gen"
DEFAULT_OUTPUT: Final = "generated"
DEFAULT_WORKFLOWS: Final = ("workflows/*.json",)


class SettingsError(InvokeAIGenError):
    """A pyproject.toml that cannot be read, or a setting in it that is not valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The checked settings of a project; without a table, the defaults for the current folder."""

    root: Path
    """The folder of the pyproject.toml, which all paths in it are relative to."""
    source: Path | None = None
    """The pyproject.toml; `None` if no table was found."""
    server: str | None = None
    """Address for the commands that talk to a server. Node types come from `openapi`, not from here."""
    openapi: str | None = None
    """Node types to generate against; without it the snapshot included in invokeai-gen."""
    workflows: tuple[str, ...] = ()
    """Globs of workflow files, or folders of them."""
    output: str = DEFAULT_OUTPUT
    """Folder of the generated package."""
    keep_names: bool | None = None
    """Inputs and outputs whose label changed keep their Python name; `None` for modules where they did before."""

    @property
    def output_path(self) -> Path:
        """The output folder, relative to the current one."""
        return self.path(self.output)

    @property
    def openapi_path(self) -> Path | None:
        """The openapi.json, relative to the current folder."""
        return self.path(self.openapi) if self.openapi is not None else None

    def path(self, text: str | Path) -> Path:
        """Return a path of the table relative to the current folder, if both are on one drive."""
        return Path(_shown(self.root / text))


def find_settings() -> Settings:
    """Return the settings of the nearest pyproject.toml with our table, from this folder upwards. Raise `SettingsError`."""
    folder = Path.cwd().resolve()
    for root in (folder, *folder.parents):
        path = root / "pyproject.toml"
        if path.is_file():
            table = read_table(path)
            if table is not None:
                return settings_of(table, path)
    return Settings(root=folder)


def read_table(path: Path) -> Mapping[str, Any] | None:
    """Return our table in a pyproject.toml; `None` if it has none. Raise `InvokeAIGenError`."""
    import tomllib

    source = _shown(path)
    try:
        document = tomllib.loads(read_bytes(Path(source)).decode())
    except UnicodeDecodeError as error:
        raise SettingsError(f"{source}: not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: not TOML: {error}") from error
    tools = document.get("tool", {})
    if not isinstance(tools, dict) or TABLE not in tools:
        return None
    table = tools[TABLE]
    if not isinstance(table, dict):
        raise SettingsError(f"{source}: tool.{TABLE} is {shown(table)}, but should be a table")
    return table


def settings_of(table: Mapping[str, Any], path: Path) -> Settings:
    """Return the table of the pyproject.toml `path` as settings. Raise `SettingsError` with a line for each bad key."""
    problems = []
    for key, value in table.items():
        if key not in _KINDS:
            hint = did_you_mean(key, _KINDS) or f"; the keys are {', '.join(_KINDS)}"
            problems.append(f"unknown key {key!r}{hint}")
        elif not _KINDS[key][1](value):
            problems.append(f"{key} is {shown(value)}, but should be {_KINDS[key][0]}")
    if problems:
        raise SettingsError("\n".join(f"{_shown(path)}: [tool.{TABLE}] {problem}" for problem in problems))
    values: dict[str, Any] = {key.replace("-", "_"): value for key, value in table.items()}
    values["workflows"] = tuple(values.get("workflows", ()))
    return Settings(root=path.resolve().parent, source=path, **values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "server": (
        'the address of a server, such as "http://localhost:9090"',
        lambda value: isinstance(value, str) and value.startswith(("http://", "https://")),
    ),
    "openapi": ("a path", _is_text),
    "workflows": (
        'a list of globs, such as ["workflows/*.json"]',
        lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, str) and item for item in value),
    ),
    "output": ("a path", _is_text),
    "keep-names": ("true or false", lambda value: isinstance(value, bool)),
}
"""What the value of each key should be, in words and as a check."""


def _shown(path: Path) -> str:
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
