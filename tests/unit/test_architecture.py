"""Which package may import which: the arrows of the architecture all point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import invokeai_gen

PACKAGE = Path(invokeai_gen.__file__).parent
ROOT = Path(__file__).parents[2]

STANDS_ON = {
    "core": set(),
    "schema": set(),
    "server": set(),
    "workflow": {"schema"},
    "compiler": {"core", "schema", "workflow"},
    "codegen": {"core", "schema", "runtime"},
    "runtime": {"core", "server", "sweeps"},
    "sweeps": {"core", "runtime", "server"},
    "handle": {"codegen", "compiler", "core", "runtime", "schema", "server", "sweeps", "workflow"},
    "cli": {"codegen", "compiler", "core", "handle", "runtime", "schema", "server", "sweeps", "workflow"},
}
LEAVES = {"atomic_files", "errors", "generator_settings", "js_json"}
"""Modules that every package may import."""


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    parts = (name.split(".") for name in found if name.startswith("invokeai_gen."))
    return {names[1] for names in parts if (PACKAGE / names[1]).is_dir() or (PACKAGE / f"{names[1]}.py").exists()}


@pytest.mark.parametrize("package", STANDS_ON)
def test_a_package_imports_only_what_it_stands_on(package: str) -> None:
    for path in (PACKAGE / package).rglob("*.py"):
        imported = _imports(path) - LEAVES - {package}
        assert imported <= STANDS_ON[package], f"{path.relative_to(PACKAGE)} imports {imported - STANDS_ON[package]}"


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
        "from invokeai_gen.server import InvokeAIClient\n"
        "wf.Params(width=1024).values(); InvokeAIClient('http://localhost:9')"
    )
    assert {"generated._types", "pydantic_core"} <= loaded
    tools = {"jinja2", "black", "click", "rich", "socketio", "aiohttp", "datamodel_code_generator", "PIL"}
    assert not loaded & (tools | {"pydantic", "annotated_types", "asyncio", "logging", "httpx", "tenacity"})
    ours = {name.removeprefix("invokeai_gen.") for name in loaded if name.startswith("invokeai_gen.")}
    assert not ours & {"runtime.plan", "runtime.job", "runtime.resolve", "server.records", "server.events"}


def test_a_client_that_was_never_used_leaves_nothing_to_close() -> None:
    assert not {"asyncio", "httpx"} & _loaded_by(
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules))  # runs after what the client leaves behind\n"
        "from invokeai_gen.server import InvokeAIClient\n"
        "client = InvokeAIClient('http://localhost:9'); InvokeAIClient('http://localhost:9')"
    )
