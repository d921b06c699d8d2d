"""Generating modules for the workflows that ship with InvokeAI, and importing one of them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.contest import ROOT, Contest, Costs, Setup, run

OPENAPI = ROOT / "data" / "openapi.json"
EXAMPLE = "three_stage_refine"
OURS = (sys.executable, "-c", "from invokeai_gen.cli import main; main()", "generate")
REFUSED = (0, 1)
"""Some of the shipped workflows are refused, by the GUI too."""
IMPORT = """
from invokeai_gen import InvokeAIClient
from package import three_stage_refine as workflow
workflow.Params()
InvokeAIClient('http://localhost:9090')
"""


def contests(setup: Setup) -> Iterator[Contest]:
    """Yield the contests of this file."""
    flows, work = _shipped_workflows(setup), setup.work / "generate"
    changing = min(flows.glob("*.json"), key=lambda path: path.stat().st_size)

    def generating(name: str, source: Path, change: Callable[[Path], None]) -> Callable[[], Costs]:
        command: list[str | Path] = [*OURS, flows, "-o", work / name]
        return lambda: run(command, source=source, before=lambda: change(work / name), allowed=REFUSED)

    def everything(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def one(folder: Path) -> None:
        content = json.loads(changing.read_text(encoding="utf-8"))
        content["description"] = f"{content['description']}."
        changing.write_text(json.dumps(content), encoding="utf-8")

    def nothing(folder: Path) -> None:
        pass

    python = setup.python_with("openapi-python-client==0.29.1", "ruff")
    rival, bare = work / "rival", work / "no-hooks.yaml"
    bare.write_text("post_hooks: []\n", encoding="utf-8")
    command: list[str | Path] = [
        python.with_name("openapi-python-client"),
        "generate",
        "--path",
        OPENAPI,
        "--meta",
        "none",
    ]
    command += ["--overwrite", "--output-path", rival, "--config", bare]
    client, before = "openapi-python-client, unformatted", setup.source_before
    for name, change, goal in (
        ("all of them", everything, 0.6),
        ("one changed", one, None),
        ("no change", nothing, None),
    ):
        others: dict[str, Callable[[], Costs]] = {}
        if change is everything:
            others[client] = partial(run, command, before=lambda: shutil.rmtree(rival, ignore_errors=True))
        else:
            others["all of them"] = generating("all", ROOT, everything)
        if before is not None:
            others["the version before"] = generating(f"before {name}", before, change)
        yield Contest(
            f"generate 26 workflows: {name}",
            {"ours": generating(f"ours {name}", ROOT, change), **others},
            {
                (client, "CPU"): None,
                ("all of them", "CPU"): None,
                ("the version before", "CPU"): goal,
                ("the version before", "memory"): 1.0,
            },
        )
    yield _importing(setup, work)


def _importing(setup: Setup, work: Path) -> Contest:
    run([*OURS, ROOT / "data" / "workflows", "-o", work / "package"], source=ROOT)
    peer = setup.python_with("invokeai-py-client==1.1.1")
    return Contest(
        "import a module, Params, client",
        {
            "ours": partial(run, [sys.executable, "-c", IMPORT], source=ROOT, folder=work),
            "import invokeai_py_client": partial(run, [peer, "-c", "import invokeai_py_client"]),
            "import pydantic, httpx": partial(run, [sys.executable, "-c", "import pydantic, httpx"]),
        },
        {("import invokeai_py_client", "CPU"): 0.35, ("import pydantic, httpx", "CPU"): None},
    )


def _shipped_workflows(setup: Setup) -> Path:
    from invokeai_gen import InvokeAIClient
    from invokeai_gen.cli.named_workflow import file_names

    folder = setup.work / "generate" / "workflows"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with InvokeAIClient(setup.fast_server.url) as client:
        listed = client.workflows.list(category="default")
        for item, name in zip(listed, file_names(listed).values(), strict=True):
            (folder / name).write_text(json.dumps(client.workflows.get(item.workflow_id).workflow), encoding="utf-8")
    return folder
