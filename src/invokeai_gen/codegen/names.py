"""Python names for what people called things in the GUI.

A name comes from a label. If labels collide, the words around them are put in front: the form section, the node's
label, the node's type, the field. If those are the same too, a piece of the node's id follows. All inputs that share a
label are qualified in the same way, and never by their place in the form, so reordering a form renames nothing.

`name_memory` decides which names of an earlier plan stay.
"""

from __future__ import annotations

import hashlib
import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final, Self

from invokeai_gen.codegen.name_memory import Key, Memory, key_of, memory_of, retired_names
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan

MAX_LABEL: Final = 60
"""Most characters of a name that one label gives; a longer label is cut after its last whole word."""

_APOSTROPHES: Final = str.maketrans("", "", "'’ʼ`")
_BUILTIN_TYPES: Final = frozenset((
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "memoryview", "object",
    "property", "set", "slice", "str", "tuple", "type",
))  # fmt: skip
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}
)
"""File names that Windows keeps for itself, whatever the suffix."""

_OWN_INPUT_NAMES: Final = frozenset(name for name in dir(WorkflowParams) if not name.startswith("_"))
_OWN_OUTPUT_NAMES: Final = frozenset((
    "acleanup_inputs", "acleanup_outputs", "acleanup_queue_item", "adownload_outputs", "batch_id", "batch_values",
    "by_node", "cleanup", "cleanup_inputs", "cleanup_outputs", "cleanup_queue_item", "debug_outputs",
    "download_outputs", "every", "images", "input_params", "input_values", "item_id", "nodes", "queue_item",
    "session_id", "timings", "to_dict", "user_outputs",
))  # fmt: skip
"""Public attributes of `WorkflowOutputs`, which is too heavy to import for its names; a test compares them."""

_INPUT_RESERVED: Final = _BUILTIN_TYPES | _OWN_INPUT_NAMES | {"field", "overload", "self"}
"""`field` and `overload` are called in the body of the class."""
_OUTPUT_RESERVED: Final = _BUILTIN_TYPES | _OWN_OUTPUT_NAMES | {"self"}


class PythonIdentifier(str):
    """A string that is safe to print as a name in Python source. Raises `ValueError` for any other."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the text as an identifier. Raise `ValueError` if it is not one."""
        if not is_identifier(text):
            raise ValueError(f"{text!r} is not a Python identifier")
        return super().__new__(cls, text)


def is_identifier(text: str) -> bool:
    """Return whether a text can be a name in Python source, and Python reads it as the same name."""
    return text.isidentifier() and not keyword.iskeyword(text) and unicodedata.normalize("NFKC", text) == text


def pascal(name: str) -> str:
    """Return a name in the letters and the case of a class."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", name))


def is_class_name(name: str) -> bool:
    """Return whether a name can be used for a class without changes."""
    return is_identifier(name) and name.isascii() and name[0].isupper()


def words_of(label: str) -> str:
    """Return a label in the letters of an identifier, lower case, words joined by `_`; empty if it has no letter or digit.

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
    return unicodedata.normalize("NFKC", cut).strip("_")  # without the half letters that cutting left behind


def identifier(words: str, *, fallback: str, reserved: frozenset[str] = frozenset()) -> PythonIdentifier:
    """Return the name that some words make: `fallback_` in front of a digit, `_` behind a reserved word."""
    text = words or fallback
    if not text.isidentifier():
        text = f"{fallback}_{text}"
    if keyword.iskeyword(text) or text in reserved:
        text += "_"
    return PythonIdentifier(text)


def assign_names(
    plan: WorkflowPlan, *, earlier: WorkflowPlan | None = None, keep_renamed: bool = False
) -> WorkflowPlan:
    """Return the plan with a name for each input and output.

    `earlier` is a plan of the same workflow that has names. Whatever has the same label now keeps its name; with
    `keep_renamed` also what has another label. Only new inputs and outputs get other names, and never a name that meant
    something else in `earlier`.
    """
    if plan is earlier and _has_good_names(plan):
        return plan
    labels: dict[int | None, str] = {item.index: item.label for item in plan.inputs}
    in_memory = out_memory = Memory()
    if earlier is not None:
        in_memory = memory_of(earlier.inputs, plan.inputs, earlier.retired, keep_renamed=keep_renamed)
        out_memory = memory_of(earlier.outputs, plan.outputs, earlier.retired, keep_renamed=keep_renamed)
    named = replace(
        plan,
        inputs=_named_inputs(plan.inputs, in_memory),
        outputs=_named_outputs(plan.outputs, labels, out_memory),
    )
    return replace(named, retired=retired_names(named, earlier))


def module_names(
    sources: Iterable[PurePath], *, kept: Mapping[PurePath, str] | None = None
) -> dict[PurePath, PythonIdentifier]:
    """Return a module name for each workflow file: its stem, with its folders in front if two files share one.

    `kept` has the files whose modules exist already; they keep their names.
    """
    paths = sorted(set(sources))
    depth = max((len(path.parts) for path in paths), default=0)
    subjects = [
        _Subject(
            words_of(path.stem),
            [*_innermost_first(path.parts[:-1], depth), words_of(path.suffix)],
            [_digest(path.as_posix())[:4], _digest(path.as_posix())],
            PythonIdentifier(kept[path]) if kept and path in kept else None,
        )
        for path in paths
    ]
    return dict(zip(paths, _distinct(subjects, fallback="workflow", reserved=_DEVICES), strict=True))


def _named_inputs(inputs: tuple[PlannedInput, ...], memory: Memory) -> tuple[PlannedInput, ...]:
    names = _names_of(
        inputs,
        [words_of(item.label) or words_of(item.field_name) for item in inputs],
        [(item.node_label or item.node_title, item.node_type, item.field_name) for item in inputs],
        memory,
        fallback="input",
        reserved=_INPUT_RESERVED,
    )
    return tuple(replace(item, name=name) for item, name in zip(inputs, names, strict=True))


def _named_outputs(
    outputs: tuple[PlannedOutput, ...], labels: Mapping[int | None, str], memory: Memory
) -> tuple[PlannedOutput, ...]:
    """Name results first, so that a debug output never changes the name of a result."""
    names: dict[Key, PythonIdentifier] = {}
    for is_debug in (False, True):
        group = [item for item in outputs if (item.role == "debug") is is_debug]
        made = _names_of(
            group,
            _output_bases(group),
            [(item.node_label, labels.get(item.board_input, ""), item.node_type) for item in group],
            memory,
            fallback="output",
            reserved=_OUTPUT_RESERVED,
            taken=frozenset(names.values()),
        )
        names.update(zip(map(key_of, group), made, strict=True))
    return tuple(replace(item, name=names[key_of(item)]) for item in outputs)


def _names_of(
    items: Sequence[PlannedInput | PlannedOutput],
    bases: Sequence[str],
    around: Sequence[tuple[str, ...]],
    memory: Memory,
    *,
    fallback: str,
    reserved: frozenset[str],
    taken: frozenset[str] = frozenset(),
) -> list[PythonIdentifier]:
    """Return a name for each item, from the words of `bases`, of the sections it is in, and of what is `around` it."""
    keys = {key_of(item) for item in items}
    given = _usable({key: name for key, name in memory.names.items() if key in keys}, reserved)
    depth = max((len(item.sections) for item in items), default=0)
    subjects = []
    for item, base, words in zip(items, bases, around, strict=True):
        kept = given.pop(key_of(item), None)
        subjects.append(
            _Subject(
                base,
                [*_innermost_first(item.sections, depth), *map(words_of, words)],
                _id_pieces(*(part for part in key_of(item) if part is not None)),
                None if kept in taken else kept,
                memory.formerly.get(key_of(item), ""),
            )
        )
    return _distinct(subjects, fallback=fallback, reserved=reserved, avoid={*memory.formerly.values(), *taken})


def _has_good_names(plan: WorkflowPlan) -> bool:
    inputs = _usable({key_of(item): item.name for item in plan.inputs}, _INPUT_RESERVED)
    outputs = _usable({key_of(item): item.name for item in plan.outputs}, _OUTPUT_RESERVED)
    return len(inputs) == len(plan.inputs) and len(outputs) == len(plan.outputs)


def _usable(names: Mapping[Key, str], reserved: frozenset[str]) -> dict[Key, PythonIdentifier]:
    """Return the earlier names that can still be used: a plan on disk may have been edited by hand."""
    count = Counter(names.values())
    return {
        key: PythonIdentifier(name)
        for key, name in names.items()
        if count[name] == 1 and name not in reserved and not name.startswith("_") and is_identifier(name)
    }


def _output_bases(outputs: Sequence[PlannedOutput]) -> list[str]:
    """Return the node's own label if no other output has it, else the section of its board if unique, else label or title."""
    labels = [words_of(item.node_label) for item in outputs]
    sections = [words_of(item.sections[-1]) if item.sections else "" for item in outputs]
    label_count, section_count = Counter(labels), Counter(sections)
    bases = []
    for item, label, section in zip(outputs, labels, sections, strict=True):
        has_own_label = label and label_count[label] == 1
        use_section = section and section_count[section] == 1 and not has_own_label
        bases.append(section if use_section else label or words_of(item.node_title))
    return bases


@dataclass(slots=True)
class _Subject:
    """Something that needs a name: its own words, and the words that distinguish it from others, best first."""

    base: str
    qualifiers: list[str]
    """Words to put in front."""
    suffixes: list[str]
    """Words to put behind if no qualifier helps; each is more precise than the one before."""
    name: PythonIdentifier | None = None
    """The name that it has already, and keeps."""
    formerly: str = ""
    """The name that it had, which is free for nothing else."""
    level: int = 0
    """Number of qualifiers and suffixes that were considered."""
    used: tuple[str, ...] = ()
    suffix: str = ""

    def words(self, fallback: str) -> str:
        """Return all words of the name as chosen so far."""
        words = self.base or fallback
        for qualifier in reversed(self.used):
            if qualifier and words != qualifier and not words.startswith(qualifier + "_"):
                words = f"{qualifier}_{words}"
        return f"{words}_{self.suffix}" if self.suffix else words


def _distinct(
    subjects: Sequence[_Subject],
    *,
    fallback: str,
    reserved: frozenset[str],
    avoid: Iterable[str] = (),
) -> list[PythonIdentifier]:
    """Return a name for each subject, no two the same and none of `avoid` for a subject without a name."""

    def made(subject: _Subject) -> PythonIdentifier:
        return identifier(subject.words(fallback), fallback=fallback, reserved=reserved)

    # The plain label of an input with a longer name is not free either: readers would confuse the two.
    blocked = {*avoid, *(made(subject) for subject in subjects if subject.name)}
    while True:
        names = [subject.name or made(subject) for subject in subjects]
        groups: dict[str, list[_Subject]] = {}
        for name, subject in zip(names, subjects, strict=True):
            groups.setdefault(name, []).append(subject)
        clashes = [
            [subject for subject in group if subject.name is None and (len(group) > 1 or name != subject.formerly)]
            for name, group in groups.items()
            if len(group) > 1 or name in blocked
        ]
        if not any(clashes):
            return names
        for group in filter(None, clashes):
            _distinguish(group)


def _distinguish(group: Sequence[_Subject]) -> None:
    """Give every member the first unused qualifier or suffix that makes their names differ."""
    ways = len(group[0].qualifiers) + len(group[0].suffixes)
    for level in range(max(subject.level for subject in group), ways):
        found = [[*subject.qualifiers, *subject.suffixes][level] for subject in group]
        if len(set(found)) > 1 or (len(group) == 1 and found[0] not in ("", group[0].base)):
            for subject, words in zip(group, found, strict=True):
                subject.level = level + 1
                if level < len(subject.qualifiers):
                    subject.used = (*subject.used, words)
                else:
                    subject.suffix = words
            return
    # The same field twice, or a suffix that is also somebody's label: any two names will do.
    for position, subject in enumerate(group, start=1):
        subject.level = ways
        subject.suffix = f"{subject.suffix}_{position}".strip("_")


def _id_pieces(*key: str) -> list[str]:
    """Return ever longer pieces of a node's id, and at last a digest, which no other id shares."""
    node = words_of(key[0]).replace("_", "")
    return [node[:4], node[:8], node[:MAX_LABEL], _digest(*key)]


def _digest(*texts: str) -> str:
    return hashlib.sha256(repr(texts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _innermost_first(sections: Sequence[str], depth: int) -> list[str]:
    """Return exactly `depth` qualifiers; the same level is the same kind of word for every subject."""
    words = [words_of(section) for section in reversed(sections)]
    return words + [""] * (depth - len(words))
