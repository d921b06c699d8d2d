"""File names from a pattern and the values of a run: `"{index:04d}_{seed}_{prompt:.40}.png"`."""

from __future__ import annotations

import numbers
import re
import string
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Final, TypeAlias, TypeVar

from invokeai_gen.core.file_names import EDGES, MAX_NAME_BYTES, cut, safe_name, safe_text
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.texts import shown

P = TypeVar("P", bound=PurePath)

_SEPARATORS: Final = re.compile(r"[/\\]")
_ABSOLUTE: Final = re.compile(r"[/\\]|[A-Za-z]:")
_FORMATTER: Final = string.Formatter()
_MAX_NAMES: Final = 20
_ROOM_FOR_VALUES: Final = 40
"""Bytes of a name that are kept free for values."""


class FilePatternError(InvokeAIGenError, ValueError):
    """A pattern for file names cannot be used, or not with these values."""


class FileClashError(FilePatternError):
    """Two items would be saved as the same file; `first` and `second` are their numbers, from 0."""

    def __init__(self, first: int, second: int, name: str, others: int = 0) -> None:
        self.first: Final = first
        self.second: Final = second
        more = f" ({others} more clash as well)" if others else ""
        super().__init__(
            f"items {first} and {second} would both be saved as {shown(name)}{more}; "
            "add {index} to the pattern, as in '{index:04d}_…'. Upper and lower case count as the same, as they do on "
            "Windows and macOS"
        )


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    conversion: str | None
    spec: str

    def __str__(self) -> str:
        return (
            "{" + self.name + (f"!{self.conversion}" if self.conversion else "") + (self.spec and f":{self.spec}") + "}"
        )

    def text(self, values: Mapping[str, object]) -> str:
        """Return the formatted value, which may not be safe in a file name yet."""
        if self.name not in values:
            raise FilePatternError(f"this item has no value for {self}; there are {_listed(values)}")
        value = values[self.name]
        is_number = isinstance(value, numbers.Number) and not isinstance(value, bool)
        converted: object = _FORMATTER.convert_field(value if is_number else short_text(value), self.conversion)
        try:
            formatted = format(converted, self.spec)
        except (ValueError, TypeError, OverflowError) as error:
            kind = "a number" if isinstance(converted, numbers.Number) else "a text"
            raise FilePatternError(
                f"{self}: the value {shown(value)} is written as {kind}, which cannot have the format {self.spec!r} "
                f"({error}); for whole numbers use one such as 04d, for others .2f, for texts .40"
            ) from None
        return formatted if is_number else formatted.strip(EDGES)


_Component: TypeAlias = Sequence[str | _Field]


class FilePattern:
    """A pattern for file names, checked when it is made.

    It is written as for `str.format`, with plain names only: `{seed}`, `{index:04d}`, `{prompt:.40}`, `{prompt!r}`;
    `{{` and `}}` stand for braces. A `/` or `\\` in the pattern makes a folder; one in a value becomes `_`, as
    everything else does that some system forbids in a name.

    `known` are the names of all values. Raise `FilePatternError` for any other name, for a pattern
    that is malformed, is absolute, leads out of its folder or ends in a folder.
    """

    def __init__(self, pattern: str, known: Collection[str]) -> None:
        self.pattern: Final = pattern
        components = [component for component in _components(pattern, known) if component not in ([], ["."])]
        if not pattern.strip() or not components:
            raise FilePatternError(f"the pattern {shown(pattern)} is empty; use one such as '{{index:04d}}.png'")
        if _ABSOLUTE.match(pattern):
            raise FilePatternError(
                f"the pattern {shown(pattern)} is absolute, but files are saved below the folder that is given for them"
            )
        if _SEPARATORS.match(pattern[-1]):
            raise FilePatternError(
                f"the pattern {shown(pattern)} ends in a folder; it has to end in the name of a file"
            )
        for component in components:
            _check_component(pattern, component)
        *self._folders, last = components
        self._stem, self._suffix = _stem_and_suffix(last)
        self.fields: Final[frozenset[str]] = frozenset(
            part.name for component in components for part in component if isinstance(part, _Field)
        )
        """The names that the pattern uses."""

    def __repr__(self) -> str:
        return f"FilePattern({self.pattern!r})"

    def format(self, values: Mapping[str, object]) -> PurePosixPath:
        """Return the relative path of one item, which is valid on every system and never leaves its folder.

        Numbers are formatted as numbers and everything else as the text that `short_text` has for it. No part of the
        path is longer than 200 bytes: where one would be, its longest values are cut, never its fixed text or the
        suffix. Parts have no dots or spaces at their ends. Raise `FilePatternError` for a value that is missing and
        for one that its format does not fit.
        """
        folders = [_name(folder, "", values) for folder in self._folders]
        return PurePosixPath(*folders, _name(self._stem, self._suffix, values))


def unique(paths: Iterable[P]) -> list[P]:
    """Return the paths if none is equal to or inside another. Raise `FileClashError` with the first pair that clash.

    Upper and lower case, and the ways to write an accent, count as the same: they are on Windows and macOS.
    """
    listed = list(paths)
    keys = [tuple(_folded(part) for part in path.parts) for path in listed]
    files: dict[tuple[str, ...], int] = {}
    clashes: list[tuple[int, int]] = []
    for index, key in enumerate(keys):
        first = files.setdefault(key, index)
        if first != index:
            clashes.append((first, index))
    for index, key in enumerate(keys):
        folders = (key[:length] for length in range(1, len(key)))
        clashes += [(min(files[folder], index), max(files[folder], index)) for folder in folders if folder in files]
    if clashes:
        first, second = min(clashes, key=lambda pair: (pair[1], pair[0]))
        raise FileClashError(first, second, listed[second].as_posix(), len(clashes) - 1)
    return listed


def _components(pattern: str, known: Collection[str]) -> list[list[str | _Field]]:
    """Return the parts of each name in the path: fixed texts, each as long as possible, and fields."""
    components: list[list[str | _Field]] = [[]]
    try:
        parsed = [*_FORMATTER.parse(pattern)]
    except ValueError as error:
        raise FilePatternError(
            f"the pattern {shown(pattern)} is malformed: {error}; "
            "names are in braces, as in '{index:04d}.png', and a brace itself is written twice"
        ) from None
    for literal, name, spec, conversion in parsed:
        for place, text in enumerate(_SEPARATORS.split(literal)):
            if place:
                components.append([])
            before = components[-1].pop() if components[-1] and isinstance(components[-1][-1], str) else ""
            components[-1] += [f"{before}{text}"] if before or text else []
        if name is not None:
            components[-1].append(_field(_Field(name, conversion, spec or ""), known))
    return components


def _field(field: _Field, known: Collection[str]) -> _Field:
    if field.name not in known:
        raise FilePatternError(_unknown(field, known))
    if field.conversion not in (None, "s", "r", "a"):
        raise FilePatternError(f"{field} in the pattern: unknown conversion !{field.conversion}; use !s, !r or !a")
    if "{" in field.spec or "}" in field.spec:
        raise FilePatternError(f"{field} in the pattern: a format cannot contain another field")
    if re.search(r"\d{4}", field.spec):
        raise FilePatternError(f"{field}: the format {field.spec!r} is wider than a file name can be")
    return field


def _unknown(field: _Field, known: Collection[str]) -> str:
    import difflib

    if not field.name:
        return f"{field} has no name; there are {_listed(known)}"
    whole = re.split(r"[.\[]", field.name)[0]
    if whole in known:
        return f"{field}: a pattern takes whole values only, such as {{{whole}}}, not parts of them"
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(field.name.casefold(), names, n=3, cutoff=0.6)
    hint = (
        "did you mean " + " or ".join(f"{{{names[name]}}}" for name in close) + "? There are "
        if close
        else "there are "
    )
    return f"the pattern has the unknown value {shown(field.name)}; {hint}{_listed(known)}"


def _listed(names: Iterable[str]) -> str:
    shown_names = sorted(names)
    return (", ".join(shown_names[:_MAX_NAMES]) + (", …" if len(shown_names) > _MAX_NAMES else "")) or "none"


def _check_component(pattern: str, component: _Component) -> None:
    fixed = "".join(part for part in component if isinstance(part, str))
    if len(component) == 1 and fixed.strip() == "..":
        raise FilePatternError(
            f"the pattern {shown(pattern)} has a '..', but files are saved below the folder that is given for them"
        )
    if len(safe_text(fixed).encode()) > MAX_NAME_BYTES - _ROOM_FOR_VALUES:
        raise FilePatternError(
            f"the pattern {shown(pattern)} has more than {MAX_NAME_BYTES - _ROOM_FOR_VALUES} bytes of fixed text in one "
            f"name ({shown(fixed)}); a name can have {MAX_NAME_BYTES} with its values"
        )


def _stem_and_suffix(component: _Component) -> tuple[_Component, str]:
    """Split the last part of a path from its suffix, so that no value can replace the suffix."""
    *others, last = component
    if not isinstance(last, str) or "." not in last:
        return component, ""
    stem, _, suffix = last.rpartition(".")
    suffix = safe_text(suffix).strip(EDGES)
    return [*others, stem], (f".{suffix}" if suffix else "")


def _name(component: _Component, suffix: str, values: Mapping[str, object]) -> str:
    texts = [safe_text(part if isinstance(part, str) else part.text(values)) for part in component]
    if len(component) == 1:  # a value alone may have a suffix of its own
        return safe_name(texts[0], limit=MAX_NAME_BYTES - len(suffix.encode())) + suffix
    fixed = sum(len(text.encode()) for text, part in zip(texts, component, strict=True) if isinstance(part, str))
    # One byte less than there is: `safe_name` may have to put a character before the name of a device.
    room = MAX_NAME_BYTES - 1 - len(suffix.encode()) - fixed
    longest = max((len(text.encode()) for text in texts), default=0)
    cuts = texts
    for limit in range(min(longest, MAX_NAME_BYTES), -1, -1):
        cuts = [
            text if isinstance(part, str) else cut(text, limit) for text, part in zip(texts, component, strict=True)
        ]
        if sum(len(text.encode()) for text in cuts) - fixed <= room:
            break
    return safe_name("".join(cuts), limit=MAX_NAME_BYTES - len(suffix.encode())) + suffix


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
