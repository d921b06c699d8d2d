"""The package on disk: written as a whole, only where something changed, with a report of what callers would notice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pytest

from invokeai_gen.atomic_files import locked
from invokeai_gen.codegen import generated_files, module, writer
from invokeai_gen.codegen.changes import Change, changes
from invokeai_gen.codegen.generated_files import OutputFolderError
from invokeai_gen.codegen.names import assign_names
from invokeai_gen.codegen.plan_file import Known
from invokeai_gen.codegen.report import Report
from invokeai_gen.codegen.writer import generate
from invokeai_gen.core.plan import Constraints, PlanField, PlannedInput, PlanNode, WorkflowPlan
from invokeai_gen.js_json import UNSET
from tests.plan_factory import a_plan, an_input, an_output

SCHEDULERS = ("ddim", "euler", "lcm")
SCHEMAS: dict[str, Any] = {
    "Tile": {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]},
}


def fox(**changed: Any) -> WorkflowPlan:
    return a_plan(
        an_input("Prompt", index=0, field_type="StringField", value="a fox"),
        an_input("Width", index=1, value=512),
        an_input("Scheduler", index=2, field_type="SchedulerField", value="euler", choices=SCHEDULERS),
        an_output(node_label="Picture"),
        name="Fox",
        **changed,
    )


def owl() -> WorkflowPlan:
    return a_plan(an_input("Steps", index=0), an_output())


def with_input(plan: WorkflowPlan, index: int, **changed: Any) -> WorkflowPlan:
    inputs = tuple(replace(item, **changed) if item.index == index else item for item in plan.inputs)
    return replace(plan, inputs=inputs, info=replace(plan.info, sha256="1" * 64))


def made(out: Path, plans: dict[str, WorkflowPlan], **options: Any) -> tuple[Report, ...]:
    return generate({PurePath(name): plan for name, plan in plans.items()}, out, schemas=SCHEMAS, **options)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "generated"


def is_fresh(reports: tuple[Report, ...]) -> bool:
    return all(report.is_fresh for report in reports)


def test_a_package_has_a_module_and_a_plan_for_each_workflow(out: Path) -> None:
    reports = made(out, {"fox.json": fox(), "My Owl.json": owl()})
    assert sorted(contents(out)) == [
        "__init__.py",
        "_types.py",
        "fox.json",
        "fox.py",
        "my_owl.json",
        "my_owl.py",
        "py.typed",
    ]
    assert [(item.file, item.status, item.source) for item in reports if item.is_module] == [
        ("my_owl.py", "new", "My Owl.json"),
        ("fox.py", "new", "fox.json"),
    ]
    assert WorkflowPlan.from_json((out / "fox.json").read_bytes()).inputs[1].name == "width"
    assert b"from ._types import SchedulerName" in (out / "fox.py").read_bytes()


def test_a_second_time_nothing_is_written_and_nothing_rendered(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known()
    made(out, {"fox.json": fox()}, known=known)
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    monkeypatch.setattr(module, "render", None)
    monkeypatch.setattr(module, "types_source", None)
    (report,) = made(out, {"fox.json": fox()}, known=known)
    assert report.status == "unchanged"
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_a_known_text_that_is_not_on_disk_is_made_again(out: Path) -> None:
    known = Known()
    made(out, {"fox.json": fox()}, known=known)
    good = contents(out)
    for name in ("fox.py", "_types.py"):
        (out / name).write_bytes(good[name] + b"# edited")
        made(out, {"fox.json": fox()}, known=known)
        assert contents(out) == good
    wrong = {key: "0" * 64 if isinstance(value, str) else value for key, value in known.current.items()}
    made(out, {"fox.json": fox()}, known=Known(wrong))
    assert contents(out) == good


def test_without_what_is_known_everything_is_made_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(out, {"fox.json": fox()})
    render = module.render
    monkeypatch.setattr(module, "render", lambda *args, **options: render(*args, **options) + "# changed\n")
    assert made(out, {"fox.json": fox()})[0].status == "changed"


def test_the_same_workflows_give_the_same_bytes_in_any_folder_and_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "generated", tmp_path / "b" / "generated"
    made(first, {"fox.json": fox(), "owl.json": owl()})
    made(second, {"owl.json": owl()})
    made(second, {"owl.json": owl(), "fox.json": fox()})
    assert contents(first) == contents(second)
    assert not any(b"\r" in data for data in contents(first).values())


def test_modules_load_lazily_and_by_name(out: Path) -> None:
    made(out, {"fox.json": fox(), "owl.json": owl()})
    script = (
        "import sys, generated; assert 'generated.fox' not in sys.modules; generated.fox.Params(width=64)\n"
        "from generated import owl; assert owl.Params().steps == 7\n"
        "heavy = {'httpx', 'jinja2', 'black', 'click', 'rich', 'socketio', 'PIL', 'datamodel_code_generator'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "generated.cat"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=out.parent, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    assert "module 'generated' has no attribute 'cat'" in done.stderr


@pytest.mark.parametrize(
    ("edit", "noticed", "reason"),
    [
        (lambda plan: with_input(plan, 1, value=768), ["Width (width): default 768, was 512"], "workflow"),
        (
            lambda plan: with_input(plan, 1, label="Breadth"),
            ["input width renamed to breadth: the label is now 'Breadth'"],
            "workflow",
        ),
        (
            lambda plan: with_input(plan, 1, constraints=Constraints(ge=64)),
            ["Width (width): 64 or more, was any"],
            "workflow",
        ),
        (
            lambda plan: with_input(plan, 1, value=UNSET, required=True),
            ["Width (width): required, was default 512"],
            "workflow",
        ),
        (
            lambda plan: with_input(plan, 1, fed_by="Noise"),
            ["Width (width): fed by 'Noise', was int", "Width (width): not settable, was default 512"],
            "workflow",
        ),
        (
            lambda plan: replace(plan, inputs=tuple(reversed([replace(i, index=2 - i.index) for i in plan.inputs]))),
            ["Scheduler (scheduler): index 0, was 2", "Prompt (prompt): index 2, was 0"],
            "generator",
        ),
        (
            lambda plan: replace(plan, info=replace(plan.info, schema_fingerprint="2")),
            [],
            "schema",
        ),
        (
            lambda plan: replace(plan, inputs=plan.inputs[1:], outputs=(an_output("other"),)),
            [
                "input Prompt (prompt) removed",
                "output Picture (picture) removed",
                "output Save Image (save_image) added",
            ],
            "generator",
        ),
    ],
)
def test_the_report_says_what_callers_notice_and_why(out: Path, edit: Any, noticed: list[str], reason: str) -> None:
    made(out, {"fox.json": fox()})
    (item, *_) = made(out, {"fox.json": edit(fox())})
    assert (item.status, item.reason) == ("changed", reason)
    assert [str(change) for change in item.changes] == noticed


def told(old: WorkflowPlan, new: WorkflowPlan) -> list[str]:
    return [str(change) for change in changes(old, assign_names(new, earlier=old))]


def test_changes_are_reported_as_a_person_would() -> None:
    many = tuple(f"s{number}" for number in range(31))
    size = an_input("Width", value=64, constraints=Constraints(ge=64, le=1024))
    scheduler = an_input("Scheduler", index=1, field_type="SchedulerField", value="s0", choices=(*many, "tcd"))
    old = assign_names(a_plan(size, scheduler))
    assert told(old, a_plan(size, replace(scheduler, choices=many))) == ["Scheduler (scheduler): 'tcd' removed"]
    assert told(old, a_plan(size, replace(scheduler, choices=(*many, "tcd", "new")))) == [
        "Scheduler (scheduler): 'new' added"
    ]
    wider = replace(size, constraints=Constraints(ge=64, le=2048))
    assert told(old, a_plan(wider, scheduler)) == ["Width (width): 64 to 2048, was 64 to 1024"]


def test_a_node_that_was_deleted_and_added_again_is_no_change() -> None:
    prompt, picture = an_input("Prompt", field_type="StringField", value="a fox"), an_output(node_label="Picture")
    old = assign_names(a_plan(prompt, picture))
    assert told(old, a_plan(replace(prompt, node_id="again"), replace(picture, node_id="too"))) == []
    assert told(old, a_plan(replace(prompt, node_id="again", value="an owl"), picture)) == [
        "Prompt (prompt): default 'an owl', was 'a fox'"
    ]


def test_a_hidden_value_that_changed_is_named() -> None:
    def hiding(value: float) -> WorkflowPlan:
        plan = a_plan(an_input("Prompt", node_id="p"))
        return replace(plan, nodes=(*plan.nodes, PlanNode("n", "img_noise", "Grain", (PlanField("amount", value),))))

    assert told(assign_names(hiding(0.2)), hiding(0.5)) == ["node 'Grain', amount (not on the form): 0.5, was 0.2"]
    assert told(assign_names(hiding(0.2)), hiding(0.2)) == []


def test_changes_can_be_read_by_programs() -> None:
    old, new = a_plan(an_input(name="width")), a_plan(an_input(name="width", value=8), an_input(name="b", index=1))
    assert changes(old, new) == (
        Change("default", "input", "width", "default 7", "default 8", "Width"),
        Change("added", "input", "b", new="default 7", label="Width"),
    )


def test_names_can_be_kept_when_only_a_label_changed(out: Path) -> None:
    made(out, {"fox.json": fox()})
    (item, *_) = made(out, {"fox.json": with_input(fox(), 1, label="Breadth")}, keep_renamed=True)
    assert item.changes == ()
    assert b"    width: " in (out / "fox.py").read_bytes()
    assert b'label="Breadth"' in (out / "fox.py").read_bytes()


def test_a_package_that_git_checked_out_on_windows_is_fresh(out: Path) -> None:
    made(out, {"fox.json": fox()})
    for name, data in contents(out).items():
        (out / name).write_bytes(data.replace(b"\n", b"\r\n"))
    checked_out = contents(out)
    assert is_fresh(made(out, {"fox.json": fox()}, check=True))
    assert is_fresh(made(out, {"fox.json": fox()}))
    assert contents(out) == checked_out
    assert generated_files.is_generated((out / "fox.py").read_bytes().decode())


def test_an_edited_module_is_written_again(out: Path) -> None:
    made(out, {"fox.json": fox()})
    good = (out / "fox.py").read_bytes()
    (out / "fox.py").write_bytes(good.replace(b"512", b"513"))
    (item, *_) = made(out, {"fox.json": fox()})
    assert (item.status, item.reason, item.changes) == ("changed", "edited", ())
    assert (out / "fox.py").read_bytes() == good


def test_a_module_of_another_version_is_written_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(out, {"fox.json": fox()})
    monkeypatch.setattr(writer, "__version__", "99.0")
    monkeypatch.setattr(generated_files, "__version__", "99.0")
    (item, *_) = made(out, {"fox.json": fox()})
    assert (item.status, item.reason) == ("changed", "version")


def test_check_writes_nothing_and_trusts_no_stamp(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_fresh(made(out, {"fox.json": fox()}, check=True))
    assert not out.exists()
    made(out, {"fox.json": fox()})
    before = contents(out)
    assert is_fresh(made(out, {"fox.json": fox()}, check=True))
    render = module.render
    monkeypatch.setattr(module, "render", lambda *args, **kwargs: render(*args, **kwargs) + "# newer template\n")
    (report,) = made(out, {"fox.json": fox()}, check=True)
    assert (report.file, report.reason) == ("fox.py", "generator")
    assert contents(out) == before


def test_other_modules_stay_with_their_types_until_they_are_pruned(out: Path) -> None:
    made(out, {"fox.json": fox()})
    reports = made(out, {"owl.json": owl()})
    assert [(item.file, item.status) for item in reports if item.status == "left"] == [("fox.py", "left")]
    assert b"SchedulerName" in (out / "_types.py").read_bytes()
    assert b"fox" in (out / "__init__.py").read_bytes()
    reports = made(out, {"owl.json": owl()}, prune=True)
    assert reports[-1] == Report(file="fox.py", status="removed", reason="gone")
    assert sorted(contents(out)) == ["__init__.py", "_types.py", "owl.json", "owl.py", "py.typed"]
    assert b"SchedulerName" not in (out / "_types.py").read_bytes()
    assert b"fox" not in (out / "__init__.py").read_bytes()


def test_files_of_others_are_neither_overwritten_nor_removed(out: Path) -> None:
    out.mkdir()
    (out / "fox.py").write_text("print('mine')\n")
    (out / "notes.py").write_text("x = 1\n")
    with pytest.raises(OutputFolderError, match=r"fox\.py was not made by invokeai-gen"):
        made(out, {"fox.json": fox()})
    assert sorted(contents(out)) == ["fox.py", "notes.py"]
    made(out, {"owl.json": owl()}, prune=True)
    assert (out / "notes.py").read_text(encoding="utf-8") == "x = 1\n"


def test_a_workflow_is_not_overwritten_by_its_own_plan(out: Path) -> None:
    out.mkdir()
    (out / "fox.json").write_text('{"name": "Fox", "nodes": []}')
    with pytest.raises(OutputFolderError, match=r"fox\.json was not made by invokeai-gen"):
        made(out, {"fox.json": fox()})
    assert contents(out) == {"fox.json": b'{"name": "Fox", "nodes": []}'}


def test_a_module_that_stays_follows_the_names_of_shared_types(out: Path) -> None:
    def choosing(node_type: str, options: tuple[str, ...]) -> WorkflowPlan:
        return a_plan(
            an_input("Mode", node_type=node_type, field_name="mode", field_type="EnumField", value="0", choices=options)
        )

    one, two = tuple("0123456789"), tuple("0123456789a")
    made(out, {"one.json": choosing("img_blend", one)})
    before = contents(out)
    made(out, {"owl.json": owl()})
    assert contents(out)["one.py"] == before["one.py"]
    made(out, {"two.json": choosing("img_scale", two)})
    assert b"import ImgBlendMode" in contents(out)["one.py"]
    assert b"import ImgScaleMode" in contents(out)["two.py"]


def test_an_output_that_is_no_folder_is_said_to_be_none(out: Path) -> None:
    out.write_text("")
    with pytest.raises(OutputFolderError, match="is not a folder"):
        made(out, {"fox.json": fox()})


def test_a_file_that_cannot_be_written_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(generated_files, "write_text", refuse)
    with pytest.raises(OutputFolderError, match=r"generated.fox\.json: Permission denied"):
        made(out, {"fox.json": fox()})


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 99}', '{"format": 1}', "\x00"])
def test_a_damaged_plan_is_replaced(out: Path, damage: str) -> None:
    made(out, {"fox.json": fox()})
    good = contents(out)
    (out / "fox.json").write_text(damage, encoding="utf-8")
    made(out, {"fox.json": fox()})
    assert contents(out) == good


def test_a_crash_leaves_the_old_files(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(out, {"fox.json": fox()})
    before = contents(out)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        made(out, {"fox.json": with_input(fox(), 1, value=1)})
    assert contents(out) == before


def test_two_at_once_take_turns(out: Path) -> None:
    entered, release, order = threading.Event(), threading.Event(), []

    def hold() -> None:
        with locked(out):
            entered.set()
            release.wait(10)
            order.append("first")

    first = threading.Thread(target=hold)
    first.start()
    assert entered.wait(10)

    def follow() -> None:
        made(out, {"fox.json": fox()})
        order.append("second")

    second = threading.Thread(target=follow)
    second.start()
    second.join(0.2)
    assert order == []
    release.set()
    first.join(10)
    second.join(30)
    assert order == ["first", "second"]


def test_a_label_that_is_no_text_does_not_stop_the_plan_from_being_written(out: Path) -> None:
    plan = a_plan(an_input("lone \ud800 surrogate"))
    made(out, {"odd.json": plan})
    assert is_fresh(made(out, {"odd.json": plan}))
    again = WorkflowPlan.from_json((out / "odd.json").read_bytes())
    assert again.inputs[0].label == "lone \ud800 surrogate"


def test_structures_of_the_schema_become_types(out: Path) -> None:
    tile: PlannedInput = an_input("Tile", field_type="Tile", value=UNSET, required=True)
    made(out, {"tiles.json": a_plan(tile)})
    assert b"class Tile(TypedDict):" in (out / "_types.py").read_bytes()
    script = "from generated import tiles; print(tiles.Params(tile={'size': 8}).tile)"
    done = subprocess.run([sys.executable, "-c", script], cwd=out.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "{'size': 8}\n"


def test_a_module_beside_the_plan_of_another_generation_says_so(out: Path) -> None:
    made(out, {"fox.json": fox()})
    old = (out / "fox.py").read_bytes()
    made(out, {"fox.json": replace(fox(), inputs=fox().inputs[1:])})
    (out / "fox.py").write_bytes(old)
    script = "from generated import fox; fox.WORKFLOW.plan"
    done = subprocess.run([sys.executable, "-c", script], cwd=out.parent, capture_output=True, text=True, check=False)
    assert "fox.json and fox.py are from different generations" in done.stderr
    assert "Generate the module again." in done.stderr
