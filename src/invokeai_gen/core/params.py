"""`Params`: the inputs of one workflow as a class of typed attributes, checked whenever a value is set.

A generated module has

    @params
    class Params(WorkflowParams):
        output_width: Annotated[int, Limits(ge=64), Input(2, node="0a16…", field="value", label="Output Width")] = 600

which is a keyword-only dataclass, checked by pydantic's core, whose errors speak of the labels in the GUI.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast, dataclass_transform, get_type_hints

from pydantic_core import ArgsKwargs, CoreSchema, SchemaValidator, ValidationError

from invokeai_gen.core import checks
from invokeai_gen.core.inputs import Input
from invokeai_gen.core.signatures import ClassSignature

if TYPE_CHECKING:
    from invokeai_gen.core.image_values import ReadsImages
    from invokeai_gen.core.plan import JsonValue
    from invokeai_gen.core.problems import ParamsError

P = TypeVar("P", bound="WorkflowParams")


class WorkflowParams:
    """Base of every generated `Params`. Inputs are attributes by name, and items by their index in the form: `params[2]`."""

    __inputs__: ClassVar[Mapping[str, Input]] = {}
    __core_schema__: ClassVar[CoreSchema]
    __signature__: ClassVar = ClassSignature()

    __plan__: ClassVar[Any] = None
    """A function that returns the `WorkflowPlan`, which has the descriptions of the fields; `None` without a plan."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        from invokeai_gen.core.params_json import pydantic_schema

        return pydantic_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, JsonValue]:
        from invokeai_gen.core.params_json import described

        return described(cls)

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

    def _repr_html_(self) -> str:
        """Return the values by label, for a notebook."""
        from invokeai_gen.core import notebook

        values = {item.name: getattr(self, item.name) for item in self.inputs() if item.fed_by is None}
        find = type(self).__plan__
        plan = find() if find is not None else None
        return notebook.card(
            plan.info.name if plan is not None else type(self).__name__, notebook.rows_of(plan, values)
        )

    def to_dict(self, *, embed: bool = False) -> dict[str, JsonValue]:
        """Return the values as JSON data, by Python name.

        A path becomes `{"path": …}`, which is read again on the same machine only. `embed` makes data URLs of bytes
        and Pillow images; without it they raise `ParamsError`.
        """
        from invokeai_gen.core.params_json import to_data

        return to_data(self, embed=embed)

    @classmethod
    def from_dict(cls, data: Mapping[str, JsonValue], *, allow_files: bool = True) -> Self:
        """Return the values in JSON data, by Python name; names that are absent get their default.

        Values may be written as `to_dict` does or in short: `"model": "dreamshaper"`, `"color": "#ff8000"`,
        `"image": {"path": "photo.png"}`. `invokeai_gen.core.json_values` lists them all. Pass `allow_files=False` for
        values that come from strangers: no file of this machine is read then, and texts name images on the server.

        Raises `ParamsError` with everything that is wrong.
        """
        from invokeai_gen.core.params_json import from_data

        return from_data(cls, data, allow_files=allow_files)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the values in a JSON text: an object as `from_dict` takes it. Raises `ParamsError`."""
        from invokeai_gen.core.params_json import from_text

        return from_text(cls, text)

    @classmethod
    def from_image(cls, image: Any, *, client: ReadsImages | None = None) -> Self:
        """Return the values that an image was made with.

        `image` is a path, the bytes of a PNG file, an open file, a Pillow image, an `ImageOutput`, or, with `client`,
        the name of an image on the server; in async code pass `await image.abytes()`. Images made in the GUI work as well. Values are those that ran, also if a
        batch or a sweep varied them, and are matched by node and field.

        Warns with a `RecallWarning` for each input that the image has no usable value for, which keeps its default, and
        for what the image cannot say. Raises `ImageValuesError` if the image does not say how it was made or was made
        by another workflow, and `ParamsError` if an input without a default has no value.
        """
        from invokeai_gen.core.image_values import RecallWarning, recall

        found = recall(cls, image, client)
        for message in (*(f"not in the image: {problem}" for problem in found.unmatched), *found.notes):
            warnings.warn(message, RecallWarning, stacklevel=2)
        return cls(**found.values)

    @classmethod
    def json_schema(cls, *, allow_files: bool = True) -> dict[str, JsonValue]:
        """Return the JSON Schema (draft 2020-12) of what `from_dict` accepts.

        Titles are the labels in the GUI; ranges, steps, choices, defaults and descriptions come from the workflow.
        Raises `PlanFileError` if the plan beside a generated module is missing.
        """
        from invokeai_gen.core.params_json import DIALECT, described

        return {"$schema": DIALECT, **described(cls, allow_files=allow_files)}

    @classmethod
    def _checked(cls, name: str, value: Any) -> Any:
        """Return a value as the input holds it. Raises `ParamsError`."""
        probe = object.__new__(cls)  # an assignment looks at its own value alone, but all must have one
        vars(probe).update(dict.fromkeys(spec.name for spec in fields(cast(Any, cls))))
        setattr(probe, name, value)
        return getattr(probe, name)

    def __iter__(self) -> Iterator[Any]:
        """Yield the values of the inputs that can be set, in the order of the form."""
        return (getattr(self, item.name) for item in self.inputs() if item.fed_by is None)

    def __getitem__(self, index: int) -> Any:
        return getattr(self, self._settable(index).name)

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._settable(index).name, value)

    @classmethod
    def _settable(cls, index: int) -> Input:
        inputs = cls.inputs()
        found = next((item for item in inputs if type(index) is int and item.index == index), None)
        if found is not None and found.fed_by is None:
            return found
        from invokeai_gen.core import problems

        raise problems.ParamsError(
            [
                problems.unknown_index(index, inputs)
                if found is None
                else problems.unsettable(found.name, cls.__inputs__)
            ]
        )


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def params(cls: type[P]) -> type[P]:
    """Make a class of annotated inputs a keyword-only dataclass that checks every value it is given."""
    hints = get_type_hints(cls, include_extras=True)
    cls.__inputs__ = inputs = _inputs_of(cls, hints)
    settable = {name for name, item in inputs.items() if item.fed_by is None}
    cls.__annotations__ = {name: hints[name] for name in cls.__annotations__}  # types, where the module has texts
    made: Any = dataclass(kw_only=True)(cls)
    made.__core_schema__ = checks.dataclass_schema(made, hints)
    validator = SchemaValidator(made.__core_schema__)

    @wraps(made.__init__)
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
