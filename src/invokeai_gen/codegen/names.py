"""Python names for what people called things in the GUI.

A name comes from a label, and only where labels collide from the words around it: the form section, the node's label,
the node's type, and at last the index. All inputs that share a name are told apart in the same way, so that none of
them depends on being the first, and an edit elsewhere in the form renames nothing.
"""

from __future__ import annotations

import contextlib
import keyword
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final, Generic, Self, TypeVar

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan

H = TypeVar("H", bound=Hashable)

MAX_LABEL: Final = 60
"""Longest part of a name that one label gives; longer ones end at the last whole word."""

_APOSTROPHES: Final = str.maketrans("", "", "'’ʼ`")
_BUILTIN_TYPES: Final = frozenset(
    {
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "memoryview",
        "object",
        "property",
        "set",
        "slice",
        "str",
        "tuple",
        "type",
    }
)
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}
)
"""File names that Windows keeps for itself, whatever the suffix."""

_OWN_INPUT_NAMES: Final = frozenset(name for name in dir(WorkflowParams) if not name.startswith("_"))
_OWN_OUTPUT_NAMES: Final = frozenset(
    {
        "acleanup_inputs",
        "acleanup_outputs",
        "acleanup_queue_item",
        "adownload_outputs",
        "batch_id",
        "batch_values",
        "by_node",
        "cleanup",
        "cleanup_inputs",
        "cleanup_outputs",
        "cleanup_queue_item",
        "debug_outputs",
        "download_outputs",
        "every",
        "images",
        "item_id",
        "nodes",
        "queue_item",
        "session_id",
        "timings",
        "to_dict",
        "user_outputs",
    }
)
"""Public attributes of `WorkflowOutputs`, which is too heavy to import for its names; a test compares them."""

_INPUT_RESERVED: Final = _BUILTIN_TYPES | _OWN_INPUT_NAMES | {"field", "self"}
"""`field` makes the defaults of the inputs below it."""
_OUTPUT_RESERVED: Final = _BUILTIN_TYPES | _OWN_OUTPUT_NAMES | {"self"}


class PythonIdentifier(str):
    """A string that is safe to print as a name in Python source. Raises `ValueError` for any other."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not text.isidentifier() or keyword.iskeyword(text) or unicodedata.normalize("NFKC", text) != text:
            raise ValueError(f"{text!r} is not a Python identifier")
        return super().__new__(cls, text)


def words_of(label: str) -> str:
    """A label in the letters of an identifier, lower case, words joined by `_`; empty where it has no letter or digit.

    The result may still start with a digit or be a keyword: it is a part of a name, not yet a name.
    """
    text = label.translate(_APOSTROPHES)
    for _ in range(3):  # lower case can decompose a letter, and composing it again can change its case
        text = unicodedata.normalize("NFKC", text).lower()
    text = "".join(char if ("_" + char).isidentifier() else "_" for char in text)
    words = [word.lstrip("".join(char for char in word if unicodedata.combining(char))) for word in text.split("_")]
    text = "_".join(word for word in words if word)
    if len(text) <= MAX_LABEL:
        return text
    cut = text[: MAX_LABEL + 1].rpartition("_")[0] or text[:MAX_LABEL]
    return _stable(cut)


def identifier(words: str, *, fallback: str, reserved: frozenset[str] = frozenset()) -> PythonIdentifier:
    """The name that some words make: `fallback_` in front of a digit, `_` behind a reserved word."""
    text = words or fallback
    if not text.isidentifier():
        text = f"{fallback}_{text}"
    if keyword.iskeyword(text) or text in reserved:
        text += "_"
    return PythonIdentifier(text)


def assign_names(plan: WorkflowPlan, *, keep: WorkflowPlan | None = None) -> WorkflowPlan:
    """The plan with a name for each input and output.

    `keep` is an earlier plan of the same workflow: what it has named keeps that name, whatever its label says now.
    """
    labels = {item.index: item.label for item in plan.inputs}
    kept_inputs = _kept(((item.binding, item.name) for item in keep.inputs), _INPUT_RESERVED) if keep else {}
    kept_outputs = _kept(((item.node_id, item.name) for item in keep.outputs), _OUTPUT_RESERVED) if keep else {}
    inputs = _named_inputs(plan.inputs, kept_inputs)
    outputs = _named_outputs(plan.outputs, labels, kept_outputs)
    return replace(plan, inputs=inputs, outputs=outputs)


def module_names(sources: Iterable[PurePath]) -> dict[PurePath, PythonIdentifier]:
    """A module name for each workflow file, from its stem and, where two have the same, its folders."""
    paths = sorted(set(sources))
    depth = max((len(path.parts) for path in paths), default=0)
    subjects = [
        _Subject(
            path,
            words_of(path.stem),
            [*_innermost_first(path.parts[:-1], depth), words_of(path.suffix), str(position)],
        )
        for position, path in enumerate(paths, start=1)
    ]
    return _distinct(subjects, fallback="workflow", reserved=_DEVICES)


def _named_inputs(
    inputs: tuple[PlannedInput, ...], kept: Mapping[tuple[str, str], PythonIdentifier]
) -> tuple[PlannedInput, ...]:
    depth = max((len(item.sections) for item in inputs), default=0)
    subjects = [
        _Subject(
            item.index,
            words_of(item.label) or words_of(item.field_name),
            [
                *_innermost_first(item.sections, depth),
                words_of(item.node_label or item.node_title),
                words_of(item.node_type),
                str(item.index),
            ],
            kept.get(item.binding),
        )
        for item in inputs
    ]
    names = _distinct(subjects, fallback="input", reserved=_INPUT_RESERVED)
    return tuple(replace(item, name=names[item.index]) for item in inputs)


def _named_outputs(
    outputs: tuple[PlannedOutput, ...], labels: Mapping[int, str], kept: Mapping[str, PythonIdentifier]
) -> tuple[PlannedOutput, ...]:
    """Results first, so that a debug output never changes the name of one."""
    names = dict(kept)
    for is_debug in (False, True):
        group = [item for item in outputs if (item.role == "debug") is is_debug]
        bases = _output_bases(group)
        depth = max((len(item.sections) for item in group), default=0)
        subjects = [
            _Subject(
                item.node_id,
                bases[item.node_id],
                [
                    *_innermost_first(item.sections, depth),
                    words_of(item.node_label),
                    words_of(labels.get(item.board_input, "") if item.board_input is not None else ""),
                    words_of(item.node_type),
                    str(position),
                ],
                names.get(item.node_id),
            )
            for position, item in enumerate(group, start=1)
        ]
        others = {item.node_id for item in outputs} - {item.node_id for item in group}
        fixed = [_Subject(node_id, "", [], name) for node_id, name in names.items() if node_id in others]
        names |= _distinct([*subjects, *fixed], fallback="output", reserved=_OUTPUT_RESERVED)
    return tuple(replace(item, name=names[item.node_id]) for item in outputs)


def _kept(names: Iterable[tuple[H, str]], reserved: frozenset[str]) -> dict[H, PythonIdentifier]:
    """Earlier names that can still be used: a plan on disk may have been edited by hand."""
    pairs = list(names)
    count = Counter(name for _, name in pairs)
    kept = {}
    for key, name in pairs:
        if count[name] == 1 and name not in reserved and not name.startswith("_"):
            with contextlib.suppress(ValueError):
                kept[key] = PythonIdentifier(name)
    return kept


def _output_bases(outputs: Sequence[PlannedOutput]) -> dict[str, str]:
    """The node's own label where no other output has it, else the section of its board likewise, else label or title."""
    labels = {item.node_id: words_of(item.node_label) for item in outputs}
    sections = {item.node_id: words_of(item.sections[-1]) if item.sections else "" for item in outputs}
    label_count, section_count = Counter(labels.values()), Counter(sections.values())
    bases = {}
    for item in outputs:
        label, section = labels[item.node_id], sections[item.node_id]
        if label and label_count[label] == 1:
            bases[item.node_id] = label
        elif section and section_count[section] == 1:
            bases[item.node_id] = section
        else:
            bases[item.node_id] = label or words_of(item.node_title)
    return bases


@dataclass(slots=True)
class _Subject(Generic[H]):
    """Something that needs a name: its own words, and those that may go in front of them, best first."""

    key: H
    base: str
    qualifiers: list[str]
    """The last one is unlike that of any other subject, and goes behind."""
    name: PythonIdentifier | None = None
    """A name that it has already, and keeps."""
    level: int = 0
    """How many of the qualifiers have been looked at."""
    used: tuple[str, ...] = ()
    number: str = ""

    def words(self, fallback: str) -> str:
        words = self.base or fallback
        for qualifier in reversed(self.used):
            if qualifier and words != qualifier and not words.startswith(qualifier + "_"):
                words = f"{qualifier}_{words}"
        return f"{words}_{self.number}" if self.number else words


def _distinct(subjects: Sequence[_Subject[H]], *, fallback: str, reserved: frozenset[str]) -> dict[H, PythonIdentifier]:
    """A name for each subject, no two the same."""

    def name_of(subject: _Subject[H]) -> PythonIdentifier:
        return subject.name or identifier(subject.words(fallback), fallback=fallback, reserved=reserved)

    while True:
        groups: dict[str, list[_Subject[H]]] = {}
        for subject in subjects:
            groups.setdefault(name_of(subject), []).append(subject)
        clashes = [group for group in groups.values() if len(group) > 1]
        if not clashes:
            return {subject.key: name_of(subject) for subject in subjects}
        for group in clashes:
            _tell_apart(group)


def _tell_apart(group: Sequence[_Subject[H]]) -> None:
    """Give every member the first qualifier, not yet looked at, that tells them apart; the number if there is none."""
    pending = [subject for subject in group if subject.name is None and not subject.number]
    last = len(pending[0].qualifiers) - 1
    for level in range(max(subject.level for subject in pending), last):
        found = {subject.qualifiers[level] for subject in pending}
        if len(found) > 1 or (len(pending) == 1 and found != {""}):
            for subject in pending:
                subject.used, subject.level = (*subject.used, subject.qualifiers[level]), level + 1
            return
    for subject in pending:
        subject.number, subject.level = subject.qualifiers[last], last


def _innermost_first(sections: Sequence[str], depth: int) -> list[str]:
    """Exactly `depth` qualifiers, so that the same level means the same kind for every subject."""
    words = [words_of(section) for section in reversed(sections)]
    return words + [""] * (depth - len(words))


def _stable(text: str) -> str:
    """The text without what cutting it left behind: half a word's joint."""
    return unicodedata.normalize("NFKC", text).strip("_")
