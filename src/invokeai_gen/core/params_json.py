"""`Params` from JSON and to JSON, and its part in pydantic's public protocol.

`TypeAdapter(Params)`, a field of a pydantic model, a FastAPI body and anything else built on pydantic accept an
instance, or an object in the forms of `json_values`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError, core_schema

from invokeai_gen import js_reading
from invokeai_gen.core import problems
from invokeai_gen.core.json_values import AllowedFiles, read_value
from invokeai_gen.core.json_writing import is_sendable, to_json
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.core.values import Input
from invokeai_gen.js_json import escape_surrogates
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from invokeai_gen.core.image_values import ReadsImages
    from invokeai_gen.core.plan import JsonValue, WorkflowPlan

MAX_REPR: Final = 500
"""Characters of each value in the `repr` of `Params`."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class ParamsJson:
    """What `WorkflowParams` can do besides holding values: JSON in and out, images in, pydantic and notebooks."""

    __inputs__: ClassVar[Mapping[str, Input]]
    __plan__: ClassVar[Any]

    def __repr__(self) -> str:
        """Return the values as Python writes them, with the middle of long ones cut out."""
        values = (f"{name}={shown(value, MAX_REPR)}" for name, value in values_by_name(self).items())
        return f"{type(self).__qualname__}({', '.join(values)})"

    def to_dict(self, *, embed: bool = False) -> dict[str, JsonValue]:
        """Return the values as JSON data, by Python name.

        A path becomes `{"path": …}`, which is read again on the same machine only. `embed` makes data URLs of bytes
        and Pillow images; without it they raise `ParamsError`.
        """
        encoded, wrong = {}, []
        for name, value in values_by_name(self).items():
            try:
                encoded[name] = to_json(value, embed=embed)
            except (TypeError, RecursionError) as error:
                wrong.append(problems.about(self.__inputs__[name], f": {problems.reason_of(error)}"))
        if wrong:
            raise ParamsError(wrong)
        return encoded

    @classmethod
    def from_dict(cls, data: Mapping[str, JsonValue], *, allow_files: AllowedFiles = True) -> Self:
        """Return the values in JSON data, by Python name; names that are absent get their default.

        Values may be written as `to_dict` does or in short: `"model": "dreamshaper"`, `"color": "#ff8000"`,
        `"image": {"path": "photo.png"}`. `invokeai_gen.core.json_values` lists them all. Pass `allow_files=False` for
        values that come from strangers: no file of this machine is read then, and texts name images on the server. With
        a list of folders, `{"path": …}` may name a file below one of them.

        Raises `ParamsError` with everything that is wrong, in the order of the form.
        """
        if not isinstance(data, Mapping):
            raise ParamsError([Problem("", f"the values are {shown(data)}, but should be an object by name")])
        values, wrong = {}, {}
        for name, item in data.items():
            try:
                values[str(name)] = read_input(cls, str(name), item, allow_files=allow_files)
            except ParamsError as error:
                wrong[str(name)] = error.problems[0]
        try:
            made = cast("Callable[..., Self]", cls)(**values)
        except ParamsError as error:
            wrong = {problem.name: problem for problem in error.problems} | wrong
        else:
            if not wrong:
                return made
        order = {item.name: item.index for item in cls.__inputs__.values()}
        raise ParamsError(sorted(wrong.values(), key=lambda problem: order.get(problem.name, len(order))))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the values in a JSON text: an object as `from_dict` takes it. Raises `ParamsError`."""
        try:
            data = js_reading.loads(text)
        except ValueError as error:
            raise ParamsError([Problem("", f"the values are not JSON: {error}")]) from None
        return cls.from_dict(data)

    @classmethod
    def from_image(cls, image: Any, *, client: ReadsImages | None = None) -> Self:
        """Return the values that an image was made with, also if it was made in the GUI.

        `image` is a path, the bytes of a PNG file, an open file, a Pillow image, an `ImageOutput`, or, with `client`,
        the name of an image on the server; in async code pass `await image.abytes()`. Values are those that ran, also
        if a batch or a sweep varied them, and are matched by node and field.

        Warns with a `RecallWarning` for each input that the image has no usable value for, which keeps its default, and
        for what the image cannot say. Raises `ImageValuesError` if the image does not say how it was made or was made
        by another workflow, and `ParamsError` if an input without a default has no value.
        """
        from invokeai_gen.core.image_values import RecallWarning, recall

        found = recall(cls, image, client)
        for message in (*(f"not in the image: {problem}" for problem in found.unmatched), *found.notes):
            warnings.warn(message, RecallWarning, stacklevel=2)
        return cast("Callable[..., Self]", cls)(**found.values)

    @classmethod
    def json_schema(cls, *, allow_files: AllowedFiles = True) -> dict[str, JsonValue]:
        """Return the JSON Schema (draft 2020-12) of what `from_dict` accepts.

        Titles are the labels in the GUI; ranges, steps, choices, defaults and descriptions come from the workflow.
        Raises `PlanFileError` if the plan beside a generated module is missing.
        """
        return {"$schema": DIALECT, **_schema(cls, allow_files=allow_files)}

    @classmethod
    def _checked(cls, name: str, value: Any) -> Any:
        """Return a value as the input holds it. Raises `ParamsError`."""
        probe = object.__new__(cls)  # an assignment looks at its own value alone, but all must have one
        vars(probe).update(dict.fromkeys(cls.__inputs__))
        setattr(probe, name, value)
        return getattr(probe, name)

    @classmethod
    def _settable(cls, index: int) -> Input:
        """Return the input at a form index. Raises `ParamsError` for an unknown index or an input that cannot be set."""
        inputs = sorted(cls.__inputs__.values(), key=lambda item: item.index)
        found = next((item for item in inputs if type(index) is int and item.index == index), None)
        if found is None:
            raise ParamsError([problems.unknown_index(index, inputs)])
        return problems.settable(found.name, cls.__inputs__)

    def _repr_html_(self) -> str:
        """Return the values by label, for a notebook."""
        from invokeai_gen.core import notebook

        plan = _plan(type(self))
        title = plan.info.name if plan is not None else type(self).__name__
        return notebook.card(title, notebook.rows_of(plan, values_by_name(self)))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return pydantic_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, JsonValue]:
        return _schema(cls)


def values_by_name(params: ParamsJson) -> dict[str, Any]:
    """Return all values by Python name, in the order of the form."""
    return {spec.name: getattr(params, spec.name) for spec in fields(cast("Any", params))}


def _plan(params: type[ParamsJson]) -> WorkflowPlan | None:
    found: WorkflowPlan | None = params.__plan__() if params.__plan__ is not None else None
    return found


def _schema(params: type[ParamsJson], *, allow_files: AllowedFiles = True) -> dict[str, JsonValue]:
    """Return the JSON Schema as it stands inside another one."""
    from invokeai_gen.core.json_schema import inputs_schema

    declared = [
        (
            params.__inputs__[spec.name],
            params.__annotations__[spec.name],
            spec.default_factory() if callable(spec.default_factory) else spec.default,
        )
        for spec in fields(cast("Any", params))
    ]
    return inputs_schema(declared, _plan(params), params.__name__, allow_files)


def read_input(params: type[ParamsJson], name: str, data: JsonValue, *, allow_files: AllowedFiles = True) -> Any:
    """Return the value of one input in JSON data; not yet checked. Raises `ParamsError`."""
    item = problems.settable(name, params.__inputs__)
    try:
        return read_value(params.__annotations__[name], data, allow_files=allow_files)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParamsError([problems.unusable(item, data, problems.reason_of(error))]) from None


def pydantic_schema(params: type[ParamsJson], *, allow_files: bool = True) -> CoreSchema:
    """Return what pydantic needs to validate and to dump values; the JSON Schema is asked of `params` itself."""

    def validate(value: Any) -> ParamsJson:
        if isinstance(value, params):
            return value
        try:
            return params.from_dict(value, allow_files=allow_files)
        except ParamsError as error:
            raise _validation_error(params.__name__, error, value) from None

    def dump(value: ParamsJson, info: core_schema.SerializationInfo) -> dict[str, Any]:
        return value.to_dict(embed=True) if info.mode == "json" else values_by_name(value)

    return core_schema.no_info_plain_validator_function(
        validate,
        ref=f"{params.__module__}.{params.__qualname__}:{id(params)}" if allow_files else None,
        serialization=core_schema.plain_serializer_function_ser_schema(dump, info_arg=True),
        metadata={"params": params},
    )


def _validation_error(title: str, error: ParamsError, data: Any) -> ValidationError:
    details = []
    for problem in error.problems:
        given = data[problem.name] if isinstance(data, Mapping) and problem.name in data else data
        details.append(
            InitErrorDetails(
                type=PydanticCustomError("params", "{problem}", {"problem": escape_surrogates(problem.message)}),
                loc=(escape_surrogates(problem.name),) if problem.name else (),
                input=_sent_back(given),
            )
        )
    return ValidationError.from_exception_data(title, details)


def _sent_back(value: Any) -> Any:
    """Return a value as a web service can send it back: half a character, or a deep list, would break its answer."""
    with contextlib.suppress(RecursionError):
        if is_sendable(value):
            return value
    return shown(value)


class NoLocalFiles:
    """Mark `Params` that come from strangers: `def draw(p: Annotated[wf.Params, NoLocalFiles])` in a web service.

    Paths are refused, and a text names an image on the server. Send the image itself as a data URL.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[ParamsJson], handler: Any) -> CoreSchema:
        return pydantic_schema(source, allow_files=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, JsonValue]:
        return _schema(cast("Any", schema)["metadata"]["params"], allow_files=False)
