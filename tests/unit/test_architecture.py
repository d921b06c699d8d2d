"""The map of the house: which package stands on which, how large the runtime is, and what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import invokeai_gen

PACKAGE = Path(invokeai_gen.__file__).parent
ROOT = Path(__file__).parents[2]

LEAVES = {
    "atomic_files",
    "errors",
    "generator_settings",
    "js_json",
    "js_reading",
    "limits",
    "loading",
    "png_texts",
    "public_names",
    "shipped_files",
    "texts",
    "version",
}
"""Modules that every package may import."""
STANDS_ON: Mapping[str, set[str]] = {
    **{leaf: set() for leaf in sorted(LEAVES)},
    "core": set(),
    "schema": set(),
    "server": set(),
    "workflow": {"schema"},
    "compiler": {"core", "schema", "workflow"},
    "codegen": {"core", "schema"},
    "runtime": {"core", "server"},
    "sweeps": {"core", "runtime", "server"},
    "testing": {"core", "runtime", "server", "sweeps"},
    "handle": {"codegen", "compiler", "core", "runtime", "schema", "server", "sweeps", "workflow"},
    "agents": {"core", "runtime", "server", "sweeps"},
    "client": {"handle", "schema", "server"},
    "compat": {"client", "core", "handle", "runtime", "schema", "server"},
    "cli": {
        "agents",
        "client",
        "codegen",
        "compiler",
        "core",
        "handle",
        "runtime",
        "schema",
        "server",
        "sweeps",
        "workflow",
    },
    "__main__": {"cli"},
}
"""Each package with those that it may import, besides the leaves. `invokeai_gen` itself is the door: it names where every
public name lives, and imports nothing until one is used; `__init__.pyi` says the same to type checkers."""
MAX_RUNTIME_LINES = 3000
MAX_LINES_OF_A_RUN = 5000


def _modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below `invokeai_gen`; the door itself has the name `""`."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports anywhere, in functions and for type checkers too, but for the door."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "invokeai_gen":
            for alias in node.names:
                below = f"{node.module}.{alias.name}".split(".")[1:]
                yield ".".join(below if ".".join(below) in MODULES else below[:-1])
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("invokeai_gen."))


@pytest.mark.parametrize("package", STANDS_ON)
def test_a_package_imports_only_what_it_stands_on(package: str) -> None:
    allowed = STANDS_ON[package] | LEAVES | {package, ""}
    for name, path in MODULES.items():
        if name.split(".")[0] == package:
            imported = {module.split(".")[0] for module in _imports(path)}
            assert imported <= allowed, f"{path.relative_to(PACKAGE)} imports {imported - allowed}"


def test_the_table_names_every_package() -> None:
    assert {name.split(".")[0] for name in MODULES if name} == set(STANDS_ON)


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {name: {*_imports(path)} - {"", name} for name, path in MODULES.items() if name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def test_the_runtime_is_small() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (PACKAGE / "runtime").glob("*.py"))
    print(f"runtime: {lines} lines")
    assert lines <= MAX_RUNTIME_LINES


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_help_text_loads_no_heavy_library() -> None:
    loaded = _loaded_by("from invokeai_gen.cli import cli; cli.main(['--help'], standalone_mode=False)")
    heavy = {"jinja2", "black", "pydantic", "httpx", "rich", "socketio", "aiohttp", "datamodel_code_generator"}
    assert not loaded & heavy


def test_a_generated_module_loads_only_what_checks_values_until_it_runs() -> None:
    loaded = _loaded_by(
        "from generated import three_stage_refine as wf\n"
        "from invokeai_gen import InvokeAIClient\n"
        "wf.Params(width=1024).values(); InvokeAIClient('http://localhost:9')"
    )
    assert {"generated._types", "pydantic_core"} <= loaded
    tools = {"jinja2", "black", "click", "rich", "socketio", "aiohttp", "datamodel_code_generator", "PIL"}
    assert not loaded & (tools | {"pydantic", "annotated_types", "asyncio", "logging", "httpx"})
    ours = {name.removeprefix("invokeai_gen.") for name in loaded if name.startswith("invokeai_gen.")}
    assert not ours & {"core.plan", "runtime.job", "runtime.resolve", "server.records", "server.events"}


def test_a_request_loads_httpx_without_its_command() -> None:
    loaded = _loaded_by(
        "from contextlib import suppress\n"
        "from invokeai_gen import ConnectionFailedError, InvokeAIClient\n"
        "with suppress(ConnectionFailedError):\n"
        "    InvokeAIClient('http://127.0.0.1:9', max_retries=0).version()\n"
        "import httpx"
    )
    assert {"httpx", "httpcore"} <= loaded
    assert not loaded & {"httpx._main", "rich", "pygments", "click"}


def test_a_client_that_was_never_used_leaves_nothing_to_close() -> None:
    assert not {"asyncio", "httpx"} & _loaded_by(
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules))  # runs after what the client leaves behind\n"
        "from invokeai_gen import InvokeAIClient\n"
        "client = InvokeAIClient('http://localhost:9'); InvokeAIClient('http://localhost:9')"
    )


def test_every_public_name_is_where_the_table_of_names_says() -> None:
    from invokeai_gen.public_names import HOME_OF

    assert sorted(vars(invokeai_gen)["__all__"]) == sorted(HOME_OF)
    for name, home in HOME_OF.items():
        assert getattr(invokeai_gen, name).__module__ == home if name not in ALIASES else getattr(invokeai_gen, name)


def test_the_stub_is_read_as_type_checkers_read_it() -> None:
    from invokeai_gen.public_names import HOME_OF

    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    names = [(alias.asname, node.module) for node in imports for alias in node.names if alias.name == alias.asname]
    assert len(imports) == len(names) == len(stub.body) - 1  # its docstring
    assert dict(names) == HOME_OF


ALIASES = {"BoardInput", "ColorInput", "ImageInput", "JobEvent", "ModelInput", "VideoInput", "__version__"}
"""Public names that are no class or function, and so do not know their module."""


def test_nothing_waits_with_wait_for() -> None:
    """`asyncio.wait_for` swallows a cancellation that comes together with the result, before Python 3.12."""
    found = [path.name for path in PACKAGE.rglob("*.py") if "asyncio.wait_for(" in path.read_text(encoding="utf-8")]
    assert found == []


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))  # pytest cannot collect two of one name


def test_every_file_that_the_walk_through_the_house_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.(?:py|txt))`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not any((home / name).exists() for home in (ROOT, PACKAGE, PACKAGE.parent))] == []
