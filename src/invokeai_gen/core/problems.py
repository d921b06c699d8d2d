"""What is wrong with the values of a workflow, or made a server reject or fail them, in the words of the GUI."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.texts import first_of, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, ValidationError

    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan
    from invokeai_gen.core.values import Input


NamedInput: TypeAlias = "Input | PlannedInput"
"""What messages name by label: the input of a `Params`, or of a plan."""
N = TypeVar("N", "Input", "PlannedInput")


@dataclass(frozen=True, slots=True)
class Problem:
    """One value that cannot be used."""

    name: str
    """The Python name, as it was given."""
    message: str
    """A sentence for a person: label, value, and what was allowed."""
    label: str = ""
    """The label in the GUI; empty for an unknown name."""
    reason: str = ""
    """The end of the message, after label and value: `should be 64 or more`. Empty if the value is not the cause."""

    def __str__(self) -> str:
        return self.message


class ParamsError(InvokeAIGenError, ValueError):
    """Raised for values that a workflow does not accept; `problems` has one entry for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: Final = tuple(problems)
        lines = [problem.message for problem in self.problems]
        head = "" if len(lines) == 1 else f"{len(lines)} problems:\n  "
        super().__init__(head + "\n  ".join(lines))


_MEANINGS: Final = {
    "ge": "{} or more",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
}
_HALF_CHARACTER: Final = (
    "a valid string, unable to parse raw data as a unicode string",
    "a text that UTF-8 can hold, without unpaired surrogates",
)
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'")
_MAX_LISTED: Final = 12
_MAX_DIGITS: Final = 30
_MEMBER: Final = re.compile(r"[A-Za-z_]")


def about(item: NamedInput, rest: str, reason: str = "") -> Problem:
    """Return the problem whose message is the title of an input and the rest of the sentence: `: the batch is empty`."""
    return Problem(item.name, f"{title(item)}{rest}", item.label, reason)


def invalid(item: NamedInput, error: ValidationError) -> Problem:
    """Return the problem that pydantic found with the value of one input."""
    return _invalid(item, error.errors(include_url=False), 0)


def unfit(item: NamedInput, place: int, value: object, target: str, error: ValidationError) -> Problem:
    """Return the problem of a batch item that does not fit the field it is for."""
    sentence = _sentence(error.errors(include_url=False)[0])
    return about(item, f", item {place} is {shown(value)}, but what goes into {target} {sentence}")


def from_validation(error: ValidationError, inputs: Mapping[str, NamedInput]) -> list[Problem]:
    """Return every problem in a validation of several inputs, whose locations start with the Python name."""
    parts: dict[str, list[ErrorDetails]] = {}
    for part in error.errors(include_url=False):
        parts.setdefault(str(part["loc"][0]) if part["loc"] else "", []).append(part)
    problems = []
    for name, details in parts.items():
        item = inputs.get(name)
        if item is None or item.fed_by is not None:
            problems.append(unsettable(name, inputs))
        elif details[0]["type"] in {"missing", "missing_keyword_only_argument"} and len(details[0]["loc"]) == 1:
            problems.append(missing(item))
        else:
            problems.append(_invalid(item, details, 1))
    order = {name: item.index for name, item in inputs.items()}
    return sorted(problems, key=lambda problem: order.get(problem.name, len(order)))


def missing(item: NamedInput) -> Problem:
    """Return the problem of a required input without a value in the workflow or from the caller."""
    return about(item, " is required: the workflow has no usable value for it")


def unusable(item: NamedInput, value: object, reason: str) -> Problem:
    """Return the problem of a value with a part that cannot be used, such as a colour with a channel of 300."""
    return about(item, f" is {shown(value)}, which cannot be used: {reason}", f"cannot be used: {reason}")


def reason_of(error: Exception) -> str:
    """Return why a value cannot be read from JSON or written as JSON."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def unsettable(name: str, inputs: Mapping[str, NamedInput]) -> Problem:
    """Return the problem of an unknown name, with similar names, or of an input that is fed by an edge."""
    item = inputs.get(name)
    if item is not None:
        return about(item, f" cannot be set: in the workflow it is fed by node {shown(item.fed_by)}")
    settable = [item for item in inputs.values() if item.fed_by is None]
    close = _closest(name, settable)
    if close:
        hint = "did you mean " + " or ".join(title(item) for item in close) + "?"
    elif settable:
        names = [item.name for item in sorted(settable, key=lambda item: item.index)]
        hint = "there are " + ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    else:
        hint = "this workflow has no inputs that can be set"
    return Problem(name, f"unknown input {shown(name)}; {hint}")


def settable(name: str, inputs: Mapping[str, N]) -> N:
    """Return the input with that Python name. Raises `ParamsError` for an unknown one, or one that is fed by an edge."""
    item = inputs.get(name)
    if item is None or item.fed_by is not None:
        raise ParamsError([unsettable(name, inputs)])
    return item


def unknown_index(index: object, inputs: Sequence[NamedInput]) -> Problem:
    """Return the problem of an unknown index."""
    known = f"indices run from 0 to {inputs[-1].index}" if inputs else "this workflow has no inputs"
    return Problem(str(index), f"unknown form index {shown(index)}; {known}")


def range_text(limits: Iterable[tuple[str, float]]) -> str:
    """Return the limits of a number in words: `64 to 2048, a multiple of 8`."""
    left = {name: _number(limit) for name, limit in limits}
    words = [f"{left.pop('ge')} to {left.pop('le')}"] if {"ge", "le"} <= left.keys() else []
    return ", ".join([*words, *(_MEANINGS[name].format(limit) for name, limit in left.items())])


def _number(limit: float) -> str:
    text = str(int(limit) if isinstance(limit, float) and limit.is_integer() else limit)
    return text if len(text) < _MAX_DIGITS else f"{float(limit):.1e}"


def title(item: NamedInput) -> str:
    """Return an input for a message: its label, with the Python name if it differs."""
    if not item.label or item.label == item.name:
        return item.name
    return f"{item.label} ({item.name})" if item.name else item.label


def labelled_rejections(plan: WorkflowPlan, detail: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return each reason in the server's `detail` with the labels of its node and field, and the value given."""
    labels = plan.node_labels
    titles = {entry.binding: entry.label for entry in plan.inputs}
    problems: list[str] = []
    for entry in detail:
        place = [str(part) for part in entry.get("loc", ())]
        node_id = next((part for part in place if part in labels), None)
        message = entry.get("msg", "")
        if node_id is None:
            problems.append(f"{'.'.join(place)}: {message}")
            continue
        field_name = next((part for part in place if (node_id, part) in titles), None)
        rest = place[place.index(node_id) + 2 :]
        field = titles[node_id, field_name] if field_name is not None else ".".join(rest)
        given = f" (given: {entry['input']!r})" if not isinstance(entry.get("input"), (dict, list)) else ""
        problems.append(
            f"{labels[node_id]!r}, {field!r}: {message}{given}" if field else f"{labels[node_id]!r}: {message}"
        )
    return list(dict.fromkeys(problems))


def failing_node(session: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return `(node id in the workflow, node type)` of the node whose error ended the session; `None` if unknown."""
    for prepared in session.get("errors") or {}:
        node_id = (session.get("prepared_source_mapping") or {}).get(prepared, prepared)
        nodes = (session.get("graph") or {}).get("nodes") or {}
        executed = (session.get("execution_graph") or {}).get("nodes") or {}
        return node_id, (nodes.get(node_id) or executed.get(prepared) or {}).get("type", "")
    return None


def _invalid(item: NamedInput, details: Sequence[ErrorDetails], skip: int) -> Problem:
    allowed: list[str] = []
    for part in details:
        where = "".join(f"item {step}: " for step in part["loc"][skip:] if isinstance(step, int))
        value = f"got {shown(part['input'])}, " if where else ""
        sentence = where + value + _with_suggestion(_sentence(part), part)
        if sentence not in allowed:
            allowed.append(sentence)
    if all(sentence.startswith("item ") for sentence in allowed):
        wanted = "; ".join(first_of(allowed, _MAX_LISTED))
        return about(item, f": {wanted}", wanted)
    first, *others = allowed
    wanted = " or ".join([first, *(sentence.removeprefix("should be ") for sentence in others)])
    return about(item, f" is {shown(details[0]['input'])}, but {wanted}", wanted)


def _sentence(part: ErrorDetails) -> str:
    """Return a message of pydantic without its first words, and limits in the words of `range_text`."""
    for name, limit in part.get("ctx", {}).items():
        if name in _MEANINGS:
            return f"should be {range_text([(name, limit)])}"
    message = part["msg"].replace(*_HALF_CHARACTER)
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input ")
    return message[0].lower() + message[1:] if _MEMBER.match(message) else message


def _with_suggestion(sentence: str, part: ErrorDetails) -> str:
    """Return the sentence about a value that is not one of the choices, with the choice that is most like it."""
    if part["type"] != "literal_error" or not isinstance(part["input"], str):
        return sentence
    import difflib

    options = {text[1:-1].casefold(): text for text in _QUOTED.findall(sentence)}
    close = difflib.get_close_matches(part["input"].casefold(), list(options), n=1, cutoff=0.65)
    if not close:
        return sentence
    listed = f"should be one of {len(options)} choices" if len(options) > _MAX_LISTED else sentence
    return f"{listed}; did you mean {options[close[0]]}?"


def _closest(name: str, inputs: Iterable[NamedInput]) -> list[NamedInput]:
    """Return the inputs with a name or label similar to `name`, best first."""
    import difflib

    wanted = name.casefold()
    scored = []
    for item in inputs:
        ratios = [
            difflib.SequenceMatcher(None, wanted, text.casefold()).ratio() for text in (item.name, item.label) if text
        ]
        if ratios and max(ratios) >= 0.7:
            scored.append((-max(ratios), item.index, item))
    return [item for *_, item in sorted(scored, key=lambda entry: entry[:2])[:3]]
