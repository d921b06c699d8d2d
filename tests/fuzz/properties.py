"""What holds for every workflow and openapi.json, whoever wrote them: an error in words, or a module that is ours."""

from __future__ import annotations

import ast
import importlib
import io
import json
import keyword
import os
import re
import sys
import threading
import tokenize
import types
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass
from functools import cache
from random import Random
from typing import Any, Final, Literal, get_args, get_origin

import invokeai_gen
from invokeai_gen.cli.show import inspect
from invokeai_gen.cli.terminal import json_text, lines_of, one_line
from invokeai_gen.codegen import datamodel, module, value_types
from invokeai_gen.codegen.changes import changes
from invokeai_gen.codegen.names import PythonIdentifier, assign_names
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.compiler import compile_workflow
from invokeai_gen.core import field_values
from invokeai_gen.core.field_values import Choice, Limited, ListOf, OneOf, Shape
from invokeai_gen.core.plan import PlannedInput, WorkflowPlan
from invokeai_gen.core.request import build_request
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import UNSET
from invokeai_gen.public_names import HOME_OF
from invokeai_gen.schema import Schema, SchemaError
from invokeai_gen.workflow.load import parse_workflow_file
from tests.fuzz import attacks
from tests.fuzz.attacks import CANARY, ROOT

PACKAGE: Final = "zq_package"
NAME: Final = PythonIdentifier("zq_module")

_VALUES: Final = frozenset({"BoardRef", "BoundingBox", "Color", "ImageRef", "LoRA", "ModelRef", "VideoRef"})
_CALLS: Final = _VALUES | {"Input", "Limits", "field"}
_WORDS: Final = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Case:
    """One workflow file, and the node types that it meets."""

    number: int
    raw: bytes
    schema: Any
    """The openapi.json as data; `None` for the one that ships."""
    name: str
    validate: bool


def case(number: int) -> Case:
    """The case of that number: the same on every machine."""
    rng = Random(number)
    data = attacks.workflow(rng)
    document = None
    if rng.random() < 0.35:
        used = [body.get("type") for body in attacks.bodies(data)]
        document = attacks.openapi(rng, [item for item in used if isinstance(item, str)])
    name = attacks.text(rng) if rng.random() < 0.2 else "workflow.json"
    return Case(number, attacks.as_file(rng, data), document, name, validate=rng.random() < 0.3)


@dataclass
class Made:
    """What became of a case that was not refused."""

    plan: WorkflowPlan
    schema: Schema
    types: str
    """The text of `_types.py`, not formatted."""
    text: str


def check(case: Case, *, formatted: bool = True) -> Made | None:
    """Run a case through everything and hold what comes out against what must be. `None` where it was refused."""
    prepare()
    with watched():
        try:
            plan, schema = compiled(case)
            names, types = value_types.collect([Outline.of(plan)], schema.schemas)
            text = module.render(plan, names, module=NAME, package=PACKAGE)
            declared = datamodel.render(types)
            shared = module.types_source(declared) if formatted else f"{HEAD}{declared}"
        except InvokeAIGenError as error:
            check_error(error)
            return None
        check_text(text, plan, {*names.values()})
        check_round_trip(plan, text, shared)
        check_shown(plan)
        check_request(plan)
        assert all(char.isprintable() or char == "\n" for char in shared), "a terminal could be steered"
    return Made(plan, schema, shared, text)


HEAD: Final = '"""Value types."""\n\n'


def compiled(case: Case) -> tuple[WorkflowPlan, Schema]:
    """The plan of a case, as reading a file and the commands make it."""
    schema = attacks.shipped()
    if case.schema is not None:
        try:
            document = attacks.as_parsed(case.schema, schema.schemas)
        except ValueError as error:
            raise SchemaError(f"not JSON: {error}") from error
        schema = Schema(document, source="an openapi.json")
    file = parse_workflow_file(case.name, case.raw)
    return assign_names(compile_workflow(file, schema, validate=case.validate).plan), schema


def check_error(error: InvokeAIGenError) -> None:
    """It says something, and nothing of it steers a terminal or fills the screen."""
    lines = lines_of(error)
    assert lines
    assert any(lines), repr(error)
    for line in map(one_line, lines):
        assert_plain(line)
        assert len(line) <= 500


def assert_plain(text: str) -> None:
    """Nothing in a line but characters that are shown, left to right in the order in which they stand."""
    assert not re.search("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\ud800-\udfff]", text), repr(text)
    assert not any(unicodedata.category(char) == "Cf" for char in text), repr(text)


# The text of a module


@cache
def _vocabulary() -> frozenset[str]:
    """Every name that our own code may print: the template's, the runtime's, and those of `typing` that we use."""
    templates = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "templates").glob("*.py.template"))
    words = {*_WORDS.findall(templates), *keyword.kwlist, *HOME_OF}
    words |= {"annotations", "dataclasses", "typing", "_types", "__future__", "invokeai_gen", "runtime", "__all__"}
    words |= {"abc", "collections", "os", "overload", "self", "__getitem__", "property", "image", "ImageOutput"}
    words |= {"Annotated", "Any", "ClassVar", "Final", "Literal", "TYPE_CHECKING", "Unpack", "field", "lambda"}
    words |= {"default_factory", "index", "node", "label", "base", "type", "variant", "format", "fed_by"}
    words |= {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "bool", "dict", "float", "int", "list"}
    words |= {"str", "key", "hash", "name", "submodel_type", "x_min", "x_max", "y_min", "y_max", "score"}
    return frozenset(words)


def check_text(text: str, plan: WorkflowPlan, shared: set[PythonIdentifier]) -> None:
    """Every token is one that we wrote, and what the file says is inside string literals."""
    assert all(char.isprintable() or char == "\n" for char in text)
    text.encode()
    made = {*(item.name for item in plan.inputs), *(item.name for item in plan.outputs)}
    assert len({item.name for item in plan.inputs}) == len(plan.inputs)
    assert len({item.name for item in plan.outputs}) == len(plan.outputs)
    for name in made:
        PythonIdentifier(name)
        assert not name.startswith("_"), name
    known = {*_vocabulary(), *made, *shared}
    # The tokenizer of the standard library does not know that a letter may have marks.
    text, known = _unmarked(text), {*map(_unmarked, known)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        assert token.type not in (tokenize.COMMENT, tokenize.ERRORTOKEN), token
        if token.type == tokenize.NAME:
            assert token.string in known, token
        if token.type == tokenize.STRING:
            assert token.string[0] in "'\"", token
    tree = ast.parse(text)
    for statement in tree.body:
        assert isinstance(statement, _STATEMENTS), ast.dump(statement)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            _check_class(node)


def _unmarked(text: str) -> str:
    return "".join("x" if f"_{char}".isidentifier() and not char.isalnum() and char != "_" else char for char in text)


_STATEMENTS: Final = (
    *(ast.Expr, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.If),
    *(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef),
)
_EXPRESSIONS: Final = (
    *(ast.Constant, ast.Name, ast.Load, ast.Store, ast.Tuple, ast.List, ast.Dict, ast.Call, ast.keyword, ast.Subscript),
    *(ast.BinOp, ast.BitOr, ast.UnaryOp, ast.USub, ast.Lambda, ast.arguments),
)


def _check_class(statement: ast.ClassDef) -> None:
    """Declarations only, whose values are literals and calls of our own constructors."""
    for member in filter(_is_no_method_of_ours, statement.body):
        assert isinstance(member, ast.AnnAssign) or _is_docstring(member), ast.dump(member)
        for node in ast.walk(member) if isinstance(member, ast.AnnAssign) else ():
            assert isinstance(node, (ast.AnnAssign, *_EXPRESSIONS)), ast.dump(node)
            if isinstance(node, ast.Call):
                assert isinstance(node.func, ast.Name), ast.dump(node)
                assert node.func.id in _CALLS, ast.dump(node)
            if isinstance(node, ast.Lambda):
                assert not ast.unparse(node.args)


def _is_no_method_of_ours(member: ast.stmt) -> bool:
    """Not what `params[0]` is for type checkers, and not the second name of the only image."""
    if isinstance(member, ast.FunctionDef):
        last = member.body[-1]
        assert member.name == "image", ast.dump(member)
        assert isinstance(last, ast.Return), ast.dump(member)
        assert isinstance(last.value, ast.Attribute), ast.dump(member)
        return False
    if isinstance(member, ast.If):
        assert ast.unparse(member.test) == "TYPE_CHECKING", ast.dump(member)
        for method in member.body:
            assert isinstance(method, ast.FunctionDef), ast.dump(method)
            assert (method.name, ast.unparse(method.body[0])) == ("__getitem__", "..."), ast.dump(method)
            assert len(method.body) == 1, ast.dump(method)
        return False
    return True


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


# What comes back


def check_round_trip(plan: WorkflowPlan, text: str, types_text: str) -> None:
    """The module gives back what the plan says, and so does the plan from its file."""
    assert WorkflowPlan.from_json(plan.to_json()) == plan
    params = loaded(text, types_text).Params
    inputs = params.inputs()
    assert [item.index for item in inputs] == [item.index for item in plan.inputs]
    for item, planned in zip(inputs, plan.inputs, strict=True):
        limits = field_values.model_limits(planned)
        for key in ("name", "label", "fed_by"):
            assert getattr(item, key) == getattr(planned, key), key
        assert item.binding == planned.binding
        assert all(getattr(item, key) == getattr(limits, key) for key in ("base", "type", "variant", "format"))
        if planned.fed_by is None:
            spec = params.__dataclass_fields__[planned.name]
            given = spec.default_factory() if spec.default_factory is not MISSING else spec.default
            wanted = field_values.default_of(planned)
            assert repr(given) == repr(MISSING if wanted is UNSET else wanted)
            choices = [*_choices(field_values.shape_of(planned))]
            if any(isinstance(choice, float) for choice in choices):
                continue  # for which there is no type
            assert not choices or _distinct(_literals(spec.type)) == _distinct(choices)
    settable = [item for item in plan.inputs if item.fed_by is None]
    if all(field_values.default_of(item) is not UNSET and not _is_ambiguous(item) for item in settable):
        made = params()
        assert params.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def _is_ambiguous(planned: PlannedInput) -> bool:
    """An object in an input that takes anything may look like a colour, an image …, and is then read as one."""
    return field_values._PLAIN_TYPES.get(planned.field_type) == "Any"


def _distinct(values: Iterable[Any]) -> list[tuple[type, Any]]:
    """Each once; without `None`, which is a type as well as a choice."""
    return [*dict.fromkeys((type(value), value) for value in values if value is not None)]


def _choices(shape: Shape) -> Iterator[Any]:
    match shape:
        case Choice(options):
            yield from options
        case OneOf(members):
            for member in members:
                yield from _choices(member)
        case Limited(inner) | ListOf(inner):
            yield from _choices(inner)


def _literals(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif not isinstance(hint, type) or get_args(hint):
        for part in get_args(hint):
            if not isinstance(part, (invokeai_gen.Input, invokeai_gen.Limits)):
                yield from _literals(part)


def loaded(text: str, types_text: str) -> Any:
    """The module, run in a package of its own that is nowhere on disk."""
    package, shared, made = (types.ModuleType(name) for name in (PACKAGE, f"{PACKAGE}._types", f"{PACKAGE}.{NAME}"))
    package.__path__ = []
    shared.__file__ = made.__file__ = f"/nowhere/{NAME}.py"
    made.__package__ = shared.__package__ = PACKAGE
    ours = {item.__name__: item for item in (package, shared, made)}
    sys.modules.update(ours)
    try:
        with watched(importing=True):
            exec(compile(types_text, "<types>", "exec"), shared.__dict__)
            exec(compile(text, "<module>", "exec"), made.__dict__)
    finally:
        for name in ours:
            sys.modules.pop(name, None)
    return made


def check_request(plan: WorkflowPlan) -> None:
    """What would be sent is JSON."""
    try:
        request = build_request(plan, {})
    except InvokeAIGenError as error:
        check_error(error)
    else:
        json.dumps(request, allow_nan=False)


# What is shown


_MERMAID: Final = re.compile(
    r"flowchart LR"
    r'|    n\d+(\[|\(\[|\[\[)"([A-Za-z0-9 .,_+/()-]|#\d+;|<br/>)*"(\]|\]\)|\]\])(:::(input|output))?'
    r'|    n\d+ -->\|"([A-Za-z0-9 .,_+/()-]|#\d+;)*"\| n\d+'
    r"|    classDef (input|output) [a-z0-9#:,]+"
)


def check_shown(plan: WorkflowPlan) -> None:
    """Lists, graphs and differences are text, whatever the labels say."""
    for line in inspect.mermaid(plan).splitlines():
        assert _MERMAID.fullmatch(line), line
    for wide in (False, True):
        for line in inspect.lines_of(plan, width=80, wide=wide):
            assert_plain(line)
            assert wide or len(line) <= 80
    for change in (*changes(_EMPTY, plan), *changes(plan, _EMPTY)):
        assert_plain(one_line(str(change)))
    for data in (plan.to_dict(), inspect.json_of(plan)):
        text = json_text(data)
        assert json.loads(text) == json.loads(json.dumps(data))
        for line in text.split("\n"):
            assert_plain(line)


_EMPTY: Final = WorkflowPlan.from_json(
    '{"format": 1, "info": {"name": ""}, "nodes": [], "edges": [], "batches": [], "inputs": [], "outputs": []}'
)


# What is not done


_FORBIDDEN: Final = (
    *("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "webbrowser.", "urllib.", "http."),
    *("_thread.", "signal.", "sys.addaudithook"),
)
_WHILE_IMPORTING: Final = ("open", "import", "builtins.input", "tempfile.", "glob.", "code.__new__", "sys.settrace")
_watching: list[set[str]] = []
_seen: list[str] = []
_watched_thread: int = threading.get_ident()
"""The thread that runs the cases: what others of the process do meanwhile is not theirs, and they may start none."""


@contextmanager
def watched(*, importing: bool = False) -> Iterator[None]:
    """Fails where the code inside starts processes or opens sockets, or (a module's import) so much as reads a file.

    The canary must not be named to the system at all: not as a file, a command, or anything else.
    """
    _watch()
    _watching.append({*_FORBIDDEN, *(_WHILE_IMPORTING if importing else ())})
    try:
        yield
    finally:
        _watching.pop()
        seen = _seen[:]
        _seen.clear()
    assert not seen, seen
    assert not os.path.lexists(CANARY)


@cache
def _watch() -> None:
    """Begin to watch, for as long as the process lives. There is nothing to see before the first case."""
    sys.addaudithook(_noticed)


@cache
def prepare() -> None:
    """Load all that a case may load, so that none of them needs a file."""
    importlib.import_module("pydantic.type_adapter")
    module.types_source("Name: int\n")  # loads black
    _vocabulary()
    for name in HOME_OF:
        getattr(invokeai_gen, name)
    for seed in attacks.seeds()[:9]:
        plan, schema = compiled(Case(0, seed.encode(), None, "workflow.json", validate=False))
        names, types = value_types.collect([Outline.of(plan)], schema.schemas)
        text = module.render(plan, names, module=NAME, package=PACKAGE)
        check_round_trip(plan, text, HEAD + datamodel.render(types))
        check_shown(plan)
        check_request(plan)


def _noticed(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or threading.get_ident() != _watched_thread:
        return
    names_canary = event not in ("compile", "exec", "object.__getattr__") and CANARY in repr(arguments)
    if names_canary or event.startswith(tuple(_watching[-1])):
        _seen.append(f"{event} {repr(arguments)[:200]}")
