"""What a generated module says about itself: docstrings for people, where their editor shows them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Final

from invokeai_gen.codegen.annotations import Names, type_text, value_text
from invokeai_gen.codegen.name_memory import results_of
from invokeai_gen.codegen.source import literal
from invokeai_gen.core import field_values
from invokeai_gen.core.field_values import Choice, Limited, ListOf, OneOf, Shape, allowed_values, parts_of
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan
from invokeai_gen.core.problems import range_text
from invokeai_gen.js_json import UNSET
from invokeai_gen.texts import collapsed, shortened

WIDTH: Final = 110
_MAX_DEFAULT: Final = 40


def input_doc(planned: PlannedInput, names: Names) -> str:
    """Return label and description of an input, what it accepts, its default, and where it is in the GUI."""
    head = collapsed(planned.label) or planned.name
    head = head if head.endswith((".", "!", "?", ":")) else f"{head}."
    if planned.description:
        head = f"{head} {_sentence(collapsed(planned.description))}"
    where = f"Input {planned.index}: {_place(planned)}."
    facts = [*allowed_values(planned, names), _default(planned)]
    if planned.fed_by is not None:
        facts = [f"Cannot be set: it is fed by the node {literal(planned.fed_by)}"]
    return _paragraphs([head, " ".join([*map(_sentence, facts), where])])


def sweep_doc(planned: PlannedInput, names: Names) -> str:
    """Return label and range of an input that a sweep varies."""
    head = collapsed(planned.label) or planned.name
    return _paragraphs([" ".join(_sentence(part) for part in (head, *allowed_values(planned, names)))])


def output_doc(output: PlannedOutput, inputs: Sequence[PlannedInput]) -> str:
    """Return which node an output comes from, and which input chooses its board."""
    node = collapsed(output.node_label) or collapsed(output.node_title) or output.node_type
    text = f"The result of the node {literal(node)} (`{collapsed(output.node_type)}`)"
    if output.is_iterated:
        text += ", once for each iteration"
    board = next((item for item in inputs if item.index == output.board_input), None)
    if board is not None:
        text += f", saved to the board given as `{board.name}`"
    return _paragraphs([_sentence(text)])


def module_doc(plan: WorkflowPlan, names: Names, *, module: str, package: str, version: str) -> str:
    """Return the docstring of a module: what the workflow does, its inputs and outputs, an example, and its origin."""
    info = plan.info
    credits = {"Author": info.author, "Version": info.version, "Tags": info.tags, "Contact": info.contact}
    about = [f"{title}: {collapsed(text)}." for title, text in credits.items() if text.strip()]
    blocks = [
        _sentence(collapsed(info.name) or collapsed(info.source) or module),
        *_wrapped(info.description),
        " ".join(about),
        *_wrapped(info.notes),
    ]
    if plan.inputs:
        blocks.append(
            "Inputs::\n\n" + _table(("", "name", "type", "range", "default", "label"), _input_rows(plan.inputs, names))
        )
    if outputs := results_of(plan):
        rows = [(item.name, item.result_type, collapsed(item.node_label or item.node_title)) for item in outputs]
        blocks.append("Outputs::\n\n" + _table(("name", "type", "node"), rows))
    blocks.append("Example::\n\n" + textwrap.indent(example(plan, module=module, package=package), "    "))
    blocks.append(_origin(plan, version))
    return "\n\n".join(block for block in blocks if block)


def params_doc(plan: WorkflowPlan) -> str:
    """Return the docstring of `Params`."""
    if not plan.inputs:
        return "The workflow's form has no inputs: it runs as it is."
    return "The inputs of the workflow, in the order of its form. Each one defaults to the value in the workflow file."


def outputs_doc(plan: WorkflowPlan) -> str:
    """Return the docstring of `Outputs`."""
    text = "The results of one run."
    if not results_of(plan):
        text += " No node of this workflow has a result with a name."
    hidden = [output.name for output in plan.outputs if output.role == "debug"]
    if hidden:
        text += f" Its intermediate images are in `debug_outputs`: {', '.join(f'`{name}`' for name in hidden)}."
    return textwrap.fill(text, WIDTH, break_long_words=False)


def example(plan: WorkflowPlan, *, module: str, package: str) -> str:
    """Return a program that runs the workflow: the required inputs and the first image."""
    required = [
        f"{item.name}={_placeholder(item)}"
        for item in plan.inputs
        if item.fed_by is None and field_values.default_of(item) is UNSET
    ]
    lines = [f"from {package} import {module} as wf" if package else f"import {module} as wf", ""]
    if any("Path(" in argument for argument in required):
        lines.insert(0, "from pathlib import Path\n")
    arguments = f"wf.Params({', '.join(required)})"
    if len(arguments) > WIDTH - 30:
        lines.append("params = wf.Params(\n" + "".join(f"    {argument},\n" for argument in required) + ")")
        arguments = "params"
    results = results_of(plan)
    images = [output for output in results if output.item_type.name == "ImageOutput"]
    shown = next(iter([*images, *results]), None)
    use = _use(shown) if shown is not None else "print(out)"
    if plan.batches:
        lines += [f"for out in wf.run_all({arguments}):", textwrap.indent(use, "    ")]
    else:
        lines += [f"out = wf.run({arguments})", use]
    return "\n".join(lines)


def _use(output: PlannedOutput) -> str:
    many = output.is_iterated or output.item_type.is_list
    suffix = {"ImageOutput": ".png", "VideoOutput": ".mp4"}.get(output.item_type.name)
    if suffix is None:
        return f"print(out.{output.name})"
    if not many:
        return f'out.{output.name}.save("{output.name}{suffix}")'
    return f'for number, item in enumerate(out.{output.name}):\n    item.save(f"{output.name}-{{number}}{suffix}")'


def _placeholder(planned: PlannedInput) -> str:
    """Return a value of the right kind for a required input, to be replaced by the reader."""
    item: Shape = field_values.shape_of(planned)
    if isinstance(item, OneOf):
        item = item.members[0]
    limits = dict(item.limits) if isinstance(item, Limited) else {}
    if isinstance(item, Limited):
        item = item.shape
    if isinstance(item, ListOf):
        return "[]" if not limits.get("min_length") else "[...]"
    if isinstance(item, Choice):
        return literal(item.options[0])
    values = {
        "ImageField": 'Path("input.png")',
        "VideoField": 'Path("input.mp4")',
        "ModelIdentifierField": '"name of the model"',
        "StringField": '"…"',
        "ColorField": '"#ff8000"',
        "BooleanField": "True",
        "BoundingBoxField": "BoundingBox(x_min=0, x_max=64, y_min=0, y_max=64)",
    }
    if planned.field_type in {"IntegerField", "FloatField"}:
        low = limits.get("ge", limits.get("gt", 0) + (1 if "gt" in limits else 0))
        step = limits.get("multiple_of")
        return repr(low if step is None else math.ceil(low / step) * step)
    return values.get(planned.field_type, "...")


def _default(planned: PlannedInput) -> str:
    value = field_values.default_of(planned)
    if value is UNSET:
        return "Required: the workflow has no usable value for it"
    if value is None:
        return "Default `None`, which leaves it empty"
    return f"Default {short_default(value)}"


def short_default(value: Any) -> str:
    """Return a default for a table or a sentence, cut if it is long."""
    name = getattr(value, "name", "")
    text = literal(name) if isinstance(name, str) and name else value_text(value)
    return shortened(text, _MAX_DEFAULT, tail=1)


def _input_rows(inputs: Sequence[PlannedInput], names: Names) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for item in inputs:
        value = field_values.default_of(item)
        fed = item.fed_by is not None
        default = f"from {literal(item.fed_by)}" if fed else "required" if value is UNSET else short_default(value)
        kind = "" if fed else short_type(field_values.shape_of(item), names)
        rows.append((str(item.index), item.name, kind, "" if fed else _range(item), default, collapsed(item.label)))
    return rows


def _range(planned: PlannedInput) -> str:
    """Return the limits of a number in the few letters that a table has room for."""
    limits = (part.limits for part in parts_of(field_values.shape_of(planned)) if isinstance(part, Limited))
    numbers = [item for item in limits if not any(name.endswith("_length") for name, _ in item)]
    return range_text(numbers[0]) if numbers else ""


def short_type(shape: Shape, names: Names, *, choice: str = "") -> str:
    """Return a shape without its limits, with long choices counted instead of listed, or called `choice`."""
    match shape:
        case Limited(inner):
            return short_type(inner, names, choice=choice)
        case ListOf(item):
            return f"list[{short_type(item, names, choice=choice)}]"
        case OneOf(members):
            return " | ".join(short_type(member, names, choice=choice) for member in members)
        case Choice() if choice:
            return choice
        case Choice(options) if shape not in names and len(options) > 3:
            return f"one of {len(options)}"
        case _:
            return type_text(shape, names)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        ("    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in (head, *rows)
    )


def _origin(plan: WorkflowPlan, version: str) -> str:
    info = plan.info
    lines = [f"Made by invokeai-gen {version}" + (f" from {collapsed(info.source)}" if info.source else "")]
    if info.sha256:
        lines.append(f"source SHA-256  {info.sha256}")
    if info.schema_fingerprint:
        lines.append(f"node schemas    {info.schema_fingerprint}")
    if info.server_version:
        lines.append(f"InvokeAI        {collapsed(info.server_version)}")
    return "\n".join(lines)


def _place(planned: PlannedInput) -> str:
    """Return the field as people name it: `node_type.field`, and the node's label if it has one."""
    field = f"`{collapsed(planned.node_type)}.{collapsed(planned.field_name)}`"
    label = collapsed(planned.node_label)
    return f"{field} of the node {literal(label)}" if label else field


def _wrapped(text: str) -> list[str]:
    """Return the paragraphs of foreign text, each wrapped; line breaks of the author stay."""
    return [
        "\n".join(
            textwrap.fill(collapsed(line), WIDTH, break_long_words=False) for line in part.splitlines() if line.strip()
        )
        for part in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
        if part.strip()
    ]


def _paragraphs(texts: Sequence[str]) -> str:
    """Return texts on one line if they fit, else each wrapped, with empty lines between."""
    joined = " ".join(texts)
    if len(joined) <= WIDTH:
        return joined
    return "\n\n".join(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) for text in texts)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:].rstrip()
    return text if text.endswith((".", "!", "?", ":", "…", "。")) else f"{text}."
