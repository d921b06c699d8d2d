"""The text of a module, made from a plan with names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from string import Template
from typing import Final

from invokeai_gen.codegen import docs
from invokeai_gen.codegen.annotations import Names, declaration, names_in, plain_type
from invokeai_gen.codegen.name_memory import results_of
from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.codegen.source import WIDTH, Source, docstring, import_line, laid_out, literal
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan
from invokeai_gen.public_names import HOME_OF
from invokeai_gen.shipped_files import templates_folder
from invokeai_gen.version import __version__

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


def render(plan: WorkflowPlan, names: Names, *, module: PythonIdentifier, package: str = "generated") -> str:
    """Return the module of a plan whose inputs and outputs have names. The same plan always gives the same text."""
    exports = _EXPORTS | (_BATCH_EXPORTS if plan.batches else set())
    settable = [item for item in plan.inputs if item.fed_by is None]
    about = docs.module_doc(plan, names, module=module, package=package, version=__version__)
    declarations = [declaration(item, names) for item in plan.inputs]
    inputs = [
        _documented(text, docs.input_doc(item, names), 4) for text, item in zip(declarations, plan.inputs, strict=True)
    ]
    values = [_values(item, names) for item in settable]
    results = results_of(plan)
    outputs = [_output(item, plan) for item in results]
    used = set[str]().union(*map(names_in, declarations))
    import_lines = _import_lines(used, used & {*names.values()}, has_inputs=bool(settable))
    for_editors = _IN_SIGNATURES | {item.item_type.name for item in results if not item.item_type.is_plain}
    return filled(
        "module.py.template",
        docstring=docstring(about),
        imports=Source("\n".join(import_lines)),
        editor_imports=import_line("invokeai_gen", sorted(for_editors - used, key=_import_order), 4),
        values=Source("".join(f"{item}\n" for item in values)),
        exports=laid_out(Source(f"__all__ = {literal(sorted(exports, key=_import_order))}")),
        params_doc=docstring(docs.params_doc(plan), 4),
        inputs=_attributes(inputs),
        indexed=_overloads(settable, names),
        outputs_doc=docstring(docs.outputs_doc(plan), 4),
        outputs=_attributes(outputs),
        image=_image_property(plan),
        run_all=Source(f"\n\n{filled('run_all.py.template')}") if plan.batches else Source(),
        functions=Source(", ".join(sorted(name for name in exports if name[0].islower()))),
    )


def filled(template: str, **pieces: Source) -> Source:
    """Return a template with a piece of source in place of each `$name`.

    Raises `TypeError` for a piece that is not `Source`: untrusted text is never printed.
    """
    for name, piece in pieces.items():
        if not isinstance(piece, Source):
            raise TypeError(f"{name} is {type(piece).__name__} {piece!r}, which is not source")
    return Source(_template(template).substitute(pieces))


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
    head = '"""Value types that the workflows of this package share."""\n'
    return formatted(f"{head}\n{declarations}") if declarations else head


def init_source(names: Sequence[PythonIdentifier]) -> str:
    """Return the text of `__init__.py`: submodules are loaded when first used, and known to editors before."""
    exports = laid_out(Source(f"__all__ = {literal([str(name) for name in names])}"))
    if not names:
        return f'"""InvokeAI workflows as Python modules."""\n\n{exports}\n'
    imports = Source("\n".join(f"    from . import {name} as {name}" for name in names))
    return filled("package.py.template", imports=imports, exports=exports)


def _values(planned: PlannedInput, names: Names) -> Source:
    text = f"{PythonIdentifier(planned.name)}: Iterable[{plain_type(planned, names)}]"
    return _documented(Source(text), docs.sweep_doc(planned, names), 8)


def _output(output: PlannedOutput, plan: WorkflowPlan) -> Source:
    text = f"{PythonIdentifier(output.name)}: {output.result_type}"
    return _documented(Source(text), docs.output_doc(output, plan.inputs), 4)


def _documented(declaration: Source, doc: str, indent: int) -> Source:
    """Return an attribute of a class, and the docstring below it."""
    return Source(f"{laid_out(declaration, indent)}\n{' ' * indent}{docstring(doc, indent)}")


def _overloads(settable: Sequence[PlannedInput], names: Names) -> Source:
    """Return what `params[3]` is, for type checkers that know the 3; nothing if there is nothing to index."""
    if not settable:
        return Source()
    indexed = [
        Source(f"def __getitem__(self, index: Literal[{item.index}]) -> {plain_type(item, names)}: ...")
        for item in settable
    ]
    overloads = "".join(f"        @overload\n{laid_out(line, 8)}\n" for line in indexed)
    return Source(f"\n    if TYPE_CHECKING:\n\n{overloads}        @overload\n{_ANY_INDEX}{_ANY_INDEX}")


_ANY_INDEX: Final = "        def __getitem__(self, index: int) -> Any: ...\n"


def _image_property(plan: WorkflowPlan) -> Source:
    """Return a property `image` for the one output that is an image, if nothing else has that name."""
    images = [output for output in results_of(plan) if output.item_type.name == "ImageOutput"]
    is_only = len(images) == 1 and images[0].result_type == "ImageOutput"
    if not is_only or any(output.name == "image" for output in plan.outputs):
        return Source()
    return Source(_IMAGE.format(name=PythonIdentifier(images[0].name)))


_IMAGE: Final = '''
    @property
    def image(self) -> ImageOutput:
        """The only image of the workflow, `{name}`."""
        return self.{name}
'''


def _import_lines(used: set[str], types: set[str], *, has_inputs: bool) -> list[Source]:
    """Return the imports of a module whose annotations and defaults use these names; `types` are those in `_types.py`."""

    def line(module: str, names: Iterable[str]) -> Source:
        return import_line(module, sorted(names, key=_import_order))

    typing = {"TYPE_CHECKING", "Final", "Unpack"} | (used & {"Annotated", "Any", "ClassVar", "Literal"})
    typing |= {"Any", "Literal", "overload"} if has_inputs else set()
    runtime = _ALWAYS_IMPORTED | {name for name in used & HOME_OF.keys() if name[0].isupper()}
    lines = [line("dataclasses", ["field"])] if "field" in used else []
    lines += [line("typing", typing), Source(""), line("invokeai_gen", runtime)]
    return [*lines, Source(""), line("._types", types)] if types else lines


def _import_order(name: str) -> tuple[int, str]:
    """Sort constants before classes before functions, as import sorters do."""
    return (0 if name.isupper() else 2 if name[0].islower() else 1), name


def _attributes(declarations: Iterable[Source]) -> Source:
    return Source("".join(f"\n{declaration}\n" for declaration in declarations))


@cache
def _template(name: str) -> Template:
    return Template((templates_folder() / name).read_text(encoding="utf-8"))
