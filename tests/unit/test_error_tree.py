"""The tree of errors: complete, importable from one place, and as the docs have it."""

from __future__ import annotations

import builtins
import importlib
import pkgutil
from pathlib import Path

import invokeai_gen
from invokeai_gen.public_names import HOME_OF
from tests.error_tree import as_markdown, error_tree


def test_every_error_class_is_exported_from_one_place() -> None:
    defined: set[str] = set()
    for module in pkgutil.walk_packages(invokeai_gen.__path__, "invokeai_gen."):
        if not module.name.startswith(("invokeai_gen.cli", "invokeai_gen.__main__")):
            classes = [item for item in vars(importlib.import_module(module.name)).values() if isinstance(item, type)]
            defined |= {item.__name__ for item in classes if issubclass(item, invokeai_gen.InvokeAIGenError)}
    assert defined == {error.name for error in error_tree()}


def test_every_event_class_is_exported() -> None:
    from invokeai_gen.server import events

    classes = {
        name for name, value in vars(events).items() if isinstance(value, type) and value.__module__ == events.__name__
    }
    assert classes - {events.Callbacks.__name__} <= set(HOME_OF)


def test_each_error_is_below_its_parent_and_says_what_it_is_for() -> None:
    for error in error_tree():
        cls = getattr(invokeai_gen, error.name)
        assert not error.parent or issubclass(cls, getattr(invokeai_gen, error.parent))
        assert all(issubclass(cls, getattr(builtins, name)) for name in error.builtins)
        assert error.summary


def test_the_docs_have_the_tree_of_today() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    assert docs == as_markdown(), "write it again: python -m tests.error_tree > docs/errors.md"
