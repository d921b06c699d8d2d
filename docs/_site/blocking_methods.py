"""An extension of griffe: `wait = facade(AsyncJob.wait)` is a method with the docstring and parameters of the other."""

from __future__ import annotations

from typing import Any

import griffe

MAKERS = ("facade", "blocking", "iterating")
"""The functions that return a blocking twin of an asynchronous method."""


class BlockingMethods(griffe.Extension):
    """Show what `MAKERS` return as methods."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Replace such attributes in every class of the package."""
        for module in _modules(pkg):
            for cls in module.classes.values():
                for attribute in list(cls.attributes.values()) if not cls.is_alias else ():
                    method = _awaited(attribute, loader.modules_collection)
                    if method is not None:
                        cls.set_member(attribute.name, _blocking(attribute, method))


def _modules(module: griffe.Module) -> list[griffe.Module]:
    below = [each for each in module.modules.values() if not each.is_alias]
    return [module, *(each for one in below for each in _modules(one))]


def _awaited(attribute: griffe.Attribute, modules: griffe.ModulesCollection) -> griffe.Function | None:
    """Return the method that an attribute is made of."""
    call = attribute.value
    if not isinstance(call, griffe.ExprCall) or str(call.function) not in MAKERS:
        return None
    found = modules[_path(call.arguments[0])]
    if isinstance(found, griffe.Alias):  # the other class inherits it
        found = found.final_target
    return found if isinstance(found, griffe.Function) else None


def _path(expression: str | griffe.Expr) -> str:
    """Return the full name of a method that an expression names."""
    assert isinstance(expression, griffe.ExprName | griffe.ExprAttribute)
    owner = expression.first if isinstance(expression, griffe.ExprAttribute) else None
    if isinstance(owner, griffe.ExprSubscript):  # of a generic class, as in `AsyncSweep[P, O].results`
        return f"{owner.canonical_path}.{expression.canonical_name}"
    return expression.canonical_path


def _blocking(attribute: griffe.Attribute, method: griffe.Function) -> griffe.Function:
    made = griffe.Function(
        attribute.name,
        parameters=method.parameters,
        returns=_iterator(method.returns),
        lineno=attribute.lineno,
        endlineno=attribute.endlineno,
        parent=attribute.parent,
    )
    if method.docstring is not None:
        made.docstring = griffe.Docstring(method.docstring.value, parent=made)
    return made


def _iterator(returns: str | griffe.Expr | None) -> str | griffe.Expr | None:
    """Return `Iterator[T]` for `AsyncGenerator[T, None]`, and any other annotation as it is."""
    if isinstance(returns, griffe.ExprSubscript) and str(returns.left) == "AsyncGenerator":
        assert isinstance(returns.slice, griffe.ExprTuple)
        return griffe.ExprSubscript("Iterator", returns.slice.elements[0])
    return returns
