"""The text of a module, made from a plan with names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.codegen import docs
from invokeai_gen.codegen.annotations import Imports, Names, annotation, binding, default, plain_type
from invokeai_gen.codegen.layout import WIDTH, import_line, laid_out
from invokeai_gen.codegen.literals import Source, docstring, literal
from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan
from invokeai_gen.shipped_files import templates_folder
from invokeai_gen.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

_MAX_FORMATTED: Final = 500_000

_ALWAYS_IMPORTED: Final = frozenset({"Workflow", "WorkflowOutputs", "WorkflowParams", "lazy_hints", "params"})
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
    fed: bool
    declaration: Source
    docstring: Source
    sweep: Source
    sweep_doc: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class _OutputView:
    name: PythonIdentifier
    type: Source
    docstring: Source


@dataclass(slots=True, kw_only=True)
class _ModuleView:
    """Everything the template prints, each piece already source in lines."""

    docstring: Source
    params_doc: Source
    outputs_doc: Source
    is_batch: bool
    exports: Source
    functions: Source
    imports: list[Source] = field(default_factory=list)
    inputs: list[_InputView]
    indexed: list[Source]
    outputs: list[_OutputView]
    only_image: PythonIdentifier | None


def render(plan: WorkflowPlan, names: Names, *, module: PythonIdentifier, package: str = "generated") -> str:
    """Return the module of a plan whose inputs and outputs have names. The same plan always gives the same text."""
    imports = Imports(
        typing={"TYPE_CHECKING", "Final", "Unpack"},
        runtime={*_ALWAYS_IMPORTED},
        editors={*_IN_SIGNATURES},
    )
    is_batch = bool(plan.batches)
    exports = _EXPORTS | (_BATCH_EXPORTS if is_batch else set())
    about = docs.module_doc(plan, names, module=module, package=package, version=__version__)
    view = _ModuleView(
        docstring=docstring(about),
        params_doc=docstring(docs.params_doc(plan), 4),
        outputs_doc=docstring(docs.outputs_doc(plan), 4),
        is_batch=is_batch,
        exports=laid_out(Source(f"__all__ = {literal(sorted(exports, key=_import_order))}")),
        functions=Source(", ".join(sorted(name for name in exports if name[0].islower()))),
        inputs=[_input(item, names, imports) for item in plan.inputs],
        indexed=[_indexed(item, names, imports) for item in plan.inputs if item.fed_by is None],
        outputs=[_output(item, plan, imports) for item in plan.outputs if item.role != "debug"],
        only_image=_only_image(plan),
    )
    if view.indexed:
        imports.typing |= {"Any", "Literal", "overload"}
    view.imports = _import_lines(imports)
    return _environment().get_template("module.py.jinja").render(module=view)


def formatted(text: str) -> str:
    """Return Python source as black formats it, whatever the settings of the project around.

    Text longer than `_MAX_FORMATTED`, which nobody reads, stays as it is: black can take the square of its length in
    time.
    """
    if len(text) > _MAX_FORMATTED:
        return text
    from black import format_str
    from black.mode import Mode, TargetVersion

    return format_str(text, mode=Mode(target_versions={TargetVersion.PY311}, line_length=WIDTH))


def types_source(declarations: str) -> str:
    """Return the text of `_types.py`."""
    return formatted('"""Value types that the workflows of this package share."""\n\n' + declarations)


def init_source(names: Sequence[PythonIdentifier]) -> str:
    """Return the text of `__init__.py`: submodules are loaded when first used, and known to editors before."""
    lines = ['"""InvokeAI workflows as Python modules."""', ""]
    if names:
        lines += ["import importlib as _importlib", "from types import ModuleType as _ModuleType"]
        lines += ["from typing import TYPE_CHECKING as _TYPE_CHECKING", ""]
        lines += ["if _TYPE_CHECKING:", *(f"    from . import {name} as {name}" for name in names), ""]
    lines += [laid_out(Source(f"__all__ = {literal([str(name) for name in names])}")), ""]
    return "\n".join(lines) + (_LAZY_SUBMODULES if names else "")


_LAZY_SUBMODULES: Final = """
if not _TYPE_CHECKING:

    def __getattr__(name: str) -> _ModuleType:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _importlib.import_module(f"{__name__}.{name}")
"""


def _input(planned: PlannedInput, names: Names, imports: Imports) -> _InputView:
    name, doc = PythonIdentifier(planned.name), docstring(docs.input_doc(planned, names), 4)
    if planned.fed_by is not None:
        imports.typing.add("ClassVar")
        declaration = f"{name}: ClassVar[Input] = {binding(planned, imports)}"
        return _InputView(
            fed=True,
            declaration=laid_out(Source(declaration), 4),
            docstring=doc,
            sweep=Source(""),
            sweep_doc=Source(""),
        )
    value = default(planned, names, imports)
    declaration = f"{name}: {annotation(planned, names, imports)}" + (f" = {value}" if value is not None else "")
    return _InputView(
        fed=False,
        declaration=laid_out(Source(declaration), 4),
        docstring=doc,
        sweep=laid_out(Source(f"{name}: Iterable[{plain_type(planned, names, imports)}]"), 8),
        sweep_doc=docstring(docs.sweep_doc(planned, names), 8),
    )


def _indexed(planned: PlannedInput, names: Names, imports: Imports) -> Source:
    """Return what `params[3]` is, for a type checker that knows the 3."""
    result = plain_type(planned, names, imports)
    head = f"def __getitem__(self, index: Literal[{planned.index}]) -> "
    return laid_out(Source(f"{head}{result}: ..."), 8)


def _only_image(plan: WorkflowPlan) -> PythonIdentifier | None:
    """Return the name of the one output that is an image, to be had as `image` too if nothing else has that name."""
    results = [output for output in plan.outputs if output.role != "debug"]
    images = [output for output in results if output.item_type.name == "ImageOutput"]
    is_only = len(images) == 1 and images[0].result_type == "ImageOutput"
    if not is_only or any(output.name == "image" for output in plan.outputs):
        return None
    return PythonIdentifier(images[0].name)


def _output(output: PlannedOutput, plan: WorkflowPlan, imports: Imports) -> _OutputView:
    if not output.item_type.is_plain:
        imports.editors.add(output.item_type.name)
    return _OutputView(
        name=PythonIdentifier(output.name),
        type=Source(output.result_type),
        docstring=docstring(docs.output_doc(output, plan.inputs), 4),
    )


def _import_lines(imports: Imports) -> list[Source]:
    def line(module: str, names: Iterable[str], indent: int = 0) -> Source:
        return import_line(module, sorted(names, key=_import_order), indent)

    lines = [Source("from __future__ import annotations"), Source("")]
    if imports.dataclasses:
        lines.append(line("dataclasses", imports.dataclasses))
    lines += [line("typing", imports.typing), Source(""), line("invokeai_gen", imports.runtime)]
    if imports.types:
        lines += [Source(""), line("._types", imports.types)]
    # What only editors and type checkers need would take most of the time that importing takes.
    lines += [
        Source(text)
        for text in (
            "",
            "if TYPE_CHECKING:",
            "    from collections.abc import Iterable",
            "    from os import PathLike",
            "    from typing import TypedDict",
            "",
        )
    ]
    return [*lines, line("invokeai_gen", imports.editors - imports.runtime, 4)]


def _import_order(name: str) -> tuple[int, str]:
    """Sort constants before classes before functions, as import sorters do."""
    return (0 if name.isupper() else 2 if name[0].islower() else 1), name


def _printable(value: Any) -> str:
    """Raise for anything but `Source`: templates never print untrusted text."""
    if not isinstance(value, (Source, PythonIdentifier)):
        raise TypeError(f"a template would print {type(value).__name__} {value!r}, which is not source")
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
