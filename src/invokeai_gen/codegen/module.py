"""A plan with names becomes the text of a Python module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.codegen import docs
from invokeai_gen.codegen.annotations import Imports, Names, annotation, binding, default, plain_type
from invokeai_gen.codegen.literals import Source, docstring, literal
from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan
from invokeai_gen.shipped_files import templates_folder
from invokeai_gen.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

LINE_LENGTH: Final = 120
_MAX_FORMATTED: Final = 500_000

_ALWAYS_IMPORTED: Final = frozenset({"Workflow", "WorkflowOutputs", "WorkflowParams", "params"})
_IN_SIGNATURES: Final = frozenset(
    {"AsyncInvokeAIClient", "AsyncJob", "AsyncSweep", "InvokeAIClient", "Job", "RunOptions", "SubmitOptions", "Sweep"}
    | {"SweepOptions"}
)
_EXPORTS: Final = frozenset(
    {"WORKFLOW", "Outputs", "Params", "arun", "asubmit", "asweep", "run", "submit", "sweep", "sweep_csv"}
)
_BATCH_EXPORTS: Final = frozenset({"arun_all", "run_all"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _InputView:
    name: PythonIdentifier
    fed: bool
    binding: Source
    type: Source
    annotation: Source
    default: Source | None
    docstring: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class _OutputView:
    name: PythonIdentifier
    type: Source
    docstring: Source


@dataclass(slots=True, kw_only=True)
class _ModuleView:
    """Everything the template prints, each piece already source."""

    docstring: Source
    params_doc: Source
    outputs_doc: Source
    is_batch: bool
    exports: Source
    imports: list[Source] = field(default_factory=list)
    inputs: list[_InputView]
    outputs: list[_OutputView]


def render(plan: WorkflowPlan, names: Names, *, module: PythonIdentifier, package: str = "generated") -> str:
    """The module of a plan whose inputs and outputs have names. The same plan always gives the same text."""
    return formatted(source(plan, names, module=module, package=package))


def source(plan: WorkflowPlan, names: Names, *, module: PythonIdentifier, package: str = "generated") -> str:
    """The same, before it is formatted."""
    imports = Imports(
        typing={"TYPE_CHECKING", "Final", "Unpack"},
        runtime={*_ALWAYS_IMPORTED},
        editors={*_IN_SIGNATURES},
    )
    is_batch = bool(plan.batches)
    about = docs.module_doc(plan, names, module=module, package=package, version=__version__)
    view = _ModuleView(
        docstring=docstring(about),
        params_doc=docstring(docs.params_doc(plan), 4),
        outputs_doc=docstring(docs.outputs_doc(plan), 4),
        is_batch=is_batch,
        exports=Source(
            f"__all__ = {literal(sorted(_EXPORTS | (_BATCH_EXPORTS if is_batch else set()), key=_import_order))}"
        ),
        inputs=[_input(item, names, imports) for item in plan.inputs],
        outputs=[_output(item, plan, imports) for item in plan.outputs if item.role != "debug"],
    )
    view.imports = _import_lines(imports)
    return _environment().get_template("module.py.jinja").render(module=view)


def formatted(text: str) -> str:
    """Python source as black writes it, whatever the settings of the project around.

    Text beyond `_MAX_FORMATTED`, which nobody reads, stays as it is: black can take the square of its length in time.
    """
    if len(text) > _MAX_FORMATTED:
        return text
    from black import format_str
    from black.mode import Mode, TargetVersion

    return format_str(text, mode=Mode(target_versions={TargetVersion.PY311}, line_length=LINE_LENGTH))


def types_source(declarations: str) -> str:
    """Return the text of `_types.py`."""
    return formatted('"""Value types that the workflows of this package share."""\n\n' + declarations)


def init_source(names: Sequence[PythonIdentifier]) -> str:
    """Return the text of `__init__.py`: submodules are loaded when first used, and known to editors before."""
    listed = ", ".join(repr(str(name)) for name in names)
    lines = ['"""InvokeAI workflows as Python modules."""', ""]
    if names:
        lines += ["import importlib as _importlib", "from types import ModuleType as _ModuleType"]
        lines += ["from typing import TYPE_CHECKING as _TYPE_CHECKING", ""]
        lines += ["if _TYPE_CHECKING:", *(f"    from . import {name} as {name}" for name in names), ""]
    lines.append(f"__all__ = [{listed}]")
    if names:
        lines.append(_LAZY_SUBMODULES)
    return formatted("\n".join(lines))


_LAZY_SUBMODULES: Final = """
if not _TYPE_CHECKING:

    def __getattr__(name: str) -> _ModuleType:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _importlib.import_module(f"{__name__}.{name}")
"""


def _input(planned: PlannedInput, names: Names, imports: Imports) -> _InputView:
    fed = planned.fed_by is not None
    if fed:
        imports.typing.add("ClassVar")
    return _InputView(
        name=PythonIdentifier(planned.name),
        fed=fed,
        binding=binding(planned, imports),
        type=Source("") if fed else plain_type(planned, names, imports),
        annotation=Source("") if fed else annotation(planned, names, imports),
        default=None if fed else default(planned, names, imports),
        docstring=docstring(docs.input_doc(planned), 4),
    )


def _output(output: PlannedOutput, plan: WorkflowPlan, imports: Imports) -> _OutputView:
    if not output.item_type.is_plain:
        imports.editors.add(output.item_type.name)
    return _OutputView(
        name=PythonIdentifier(output.name),
        type=Source(output.result_type),
        docstring=docstring(docs.output_doc(output, plan.inputs), 4),
    )


def _import_lines(imports: Imports) -> list[Source]:
    def line(module: str, names: Iterable[str]) -> str:
        return f"from {module} import {', '.join(sorted(names, key=_import_order))}"

    lines = ["from __future__ import annotations", ""]
    if imports.dataclasses:
        lines.append(line("dataclasses", imports.dataclasses))
    lines += [line("typing", imports.typing), "", line("invokeai_gen", imports.runtime)]
    if imports.types:
        lines += ["", line("._types", imports.types)]
    # What only editors and type checkers need to know would take most of the time that importing takes.
    lines += [
        "",
        "if TYPE_CHECKING:",
        "    from collections.abc import Iterable",
        "    from os import PathLike",
        "    from typing import TypedDict",
        "",
        f"    {line('invokeai_gen', imports.editors - imports.runtime)}",
    ]
    return [Source(line) for line in lines]


def _import_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as import sorters have it."""
    return (0 if name.isupper() else 2 if name[0].islower() else 1), name


def _printable(value: Any) -> str:
    """Refuses to print whatever did not become source first, so that no template can leak foreign text."""
    if not isinstance(value, (Source, PythonIdentifier)):
        raise TypeError(f"a template would print {type(value).__name__} {value!r}, which is no source")
    return value


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(templates_folder(), encoding="utf-8"),
        autoescape=False,  # this is Python, not HTML; `finalize` is what keeps foreign text out
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        newline_sequence="\n",
    )
