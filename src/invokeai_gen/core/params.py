"""`Params`: the inputs of one workflow as a class of typed attributes, checked whenever a value is set.

A generated module has

    @params
    class Params(WorkflowParams):
        output_width: Annotated[int, Limits(ge=64), Input(2, node="0a16…", field="value", label="Output Width")] = 600

which is a keyword-only dataclass, checked by pydantic's core, whose errors speak of the labels in the GUI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, dataclass_transform, get_type_hints

from pydantic_core import ArgsKwargs, CoreSchema, SchemaValidator, ValidationError

from invokeai_gen.core import checks
from invokeai_gen.core.signatures import ClassSignature
from invokeai_gen.core.values import Input
from invokeai_gen.loading import later

if TYPE_CHECKING:
    from invokeai_gen.core.params_json import ParamsJson
    from invokeai_gen.core.problems import ParamsError
else:
    ParamsJson = object

P = TypeVar("P", bound="WorkflowParams")


@later(
    "invokeai_gen.core.params_json",
    "ParamsJson",
    "to_dict from_dict from_json from_image json_schema _checked _settable __repr__ _repr_html_"
    " __get_pydantic_core_schema__ __get_pydantic_json_schema__",
)
class WorkflowParams(ParamsJson):
    """Base of every generated `Params`. Inputs are attributes by name, and items by their index in the form: `params[2]`."""

    __inputs__: ClassVar[Mapping[str, Input]] = {}
    __core_schema__: ClassVar[CoreSchema]
    __signature__: ClassVar = ClassSignature()

    __plan__: ClassVar[Any] = None
    """A function that returns the `WorkflowPlan`, which has the descriptions of the fields; `None` without a plan."""

    @classmethod
    def inputs(cls) -> tuple[Input, ...]:
        """Return every input in the order of the form, including those that are fed by an edge."""
        return tuple(sorted(cls.__inputs__.values(), key=lambda item: item.index))

    def values(self) -> dict[tuple[str, str], Any]:
        """Return `{(node id, field name): value}` of every input that can be set; `None` leaves the field out.

        Everything is checked again, because a list may have changed since it was assigned. Raises `ParamsError`.
        """
        checked = replace(cast(Any, self))
        return {item.binding: getattr(checked, item.name) for item in self.inputs() if item.fed_by is None}

    def __iter__(self) -> Iterator[Any]:
        """Yield the values of the inputs that can be set, in the order of the form."""
        return (getattr(self, item.name) for item in self.inputs() if item.fed_by is None)

    def __getitem__(self, index: int) -> Any:
        return getattr(self, self._settable(index).name)

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._settable(index).name, value)


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def params(cls: type[P]) -> type[P]:
    """Make a class of annotated inputs a keyword-only dataclass that checks every value it is given."""
    hints = get_type_hints(cls, include_extras=True)
    cls.__inputs__ = inputs = _inputs_of(cls, hints)
    settable = {name for name, item in inputs.items() if item.fed_by is None}
    cls.__annotations__ = {name: hints[name] for name in cls.__annotations__}  # types, where the module has texts
    made: Any = dataclass(kw_only=True, init=False, repr=False)(cls)
    made.__core_schema__ = checks.dataclass_schema(made, hints)
    validator = SchemaValidator(made.__core_schema__)

    def __init__(self: P, /, *args: Any, **values: Any) -> None:
        if args:
            from invokeai_gen.core.problems import ParamsError, Problem

            raise ParamsError([Problem("", f"{cls.__name__} takes its values by name: name=value")])
        try:
            validator.validate_python(
                ArgsKwargs((), {name: checks.without_numpy(value) for name, value in values.items()}),
                self_instance=self,
            )
        except ValidationError as error:
            raise _refused(error, inputs) from None

    def __setattr__(self: P, name: str, value: Any, /) -> None:
        if name not in settable:
            from invokeai_gen.core import problems

            raise problems.ParamsError([problems.unsettable(name, inputs)])
        try:
            validator.validate_assignment(self, name, checks.without_numpy(value))
        except ValidationError as error:
            raise _refused(error, inputs) from None

    made.__init__ = __init__
    made.__setattr__ = __setattr__
    return cast("type[P]", made)


def _refused(error: ValidationError, inputs: Mapping[str, Input]) -> ParamsError:
    from invokeai_gen.core import problems

    return problems.ParamsError(problems.from_validation(error, inputs))


def _inputs_of(cls: type[WorkflowParams], hints: Mapping[str, Any]) -> dict[str, Input]:
    """Return the `Input` of each annotation and of each class attribute that is fed by an edge, with its name."""
    found = {}
    for name, hint in hints.items():
        declared = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Input)]
        fixed = cls.__dict__.get(name)
        if isinstance(fixed, Input):
            declared = [fixed]
        if declared:
            found[name] = replace(declared[0], name=name)
            if fixed is declared[0]:
                setattr(cls, name, found[name])
    return found
