"""`Params` from JSON and to JSON, and its part in pydantic's public protocol.

`TypeAdapter(Params)`, a field of a pydantic model, a FastAPI body and anything else built on pydantic accept an
instance, or an object in the forms of `json_values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError, core_schema

from invokeai_gen import js_reading
from invokeai_gen.core import problems
from invokeai_gen.core.inputs import HasInputs
from invokeai_gen.core.json_values import read_value
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.texts import escape_surrogates, shown

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue

P = TypeVar("P", bound=HasInputs)
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def from_text(params: type[P], text: str | bytes) -> P:
    """Return the values in a JSON text. Raises `ParamsError`."""
    try:
        data = js_reading.loads(text)
    except ValueError as error:
        raise ParamsError([Problem("", f"the values are not JSON: {error}")]) from None
    return from_data(params, data)


def from_data(params: type[P], data: JsonValue, *, allow_files: bool = True) -> P:
    """Return the values in an object by Python name; names that are absent get their default.

    `allow_files=False` is for values that come from strangers (`json_values.read_value`).

    Raises `ParamsError` with all problems, in the order of the form.
    """
    if not isinstance(data, Mapping):
        raise ParamsError([Problem("", f"the values are {shown(data)}, but should be an object by name")])
    values, wrong = {}, {}
    for name, item in data.items():
        try:
            values[str(name)] = read_input(params, str(name), item, allow_files=allow_files)
        except ParamsError as error:
            wrong[str(name)] = error.problems[0]
    make = cast("Callable[..., P]", params)
    if not wrong:
        return make(**values)
    try:
        make(**values)
    except ParamsError as error:
        wrong |= {problem.name: problem for problem in error.problems if problem.name not in wrong}
    order = {item.name: item.index for item in params.__inputs__.values()}
    raise ParamsError(sorted(wrong.values(), key=lambda problem: order.get(problem.name, len(order))))


def read_input(params: type[HasInputs], name: str, data: JsonValue, *, allow_files: bool = True) -> Any:
    """Return the value of one input in JSON data; not yet checked. Raises `ParamsError`."""
    item = params.__inputs__.get(name)
    if item is None or item.fed_by is not None:
        raise ParamsError([problems.unsettable(name, params.__inputs__)])
    try:
        return read_value(params.__annotations__[name], data, allow_files=allow_files)
    except (TypeError, ValueError) as error:
        raise ParamsError([problems.unusable(item, data, str(error))]) from None


def to_data(params: HasInputs, *, embed: bool = False) -> dict[str, JsonValue]:
    """Return the values as JSON data, by Python name.

    `embed` makes data URLs of bytes and images in memory; without it they raise `ParamsError`.
    """
    encoded, wrong = {}, []
    for spec in fields(cast("Any", params)):
        try:
            encoded[spec.name] = to_json(getattr(params, spec.name), embed=embed)
        except TypeError as error:
            item = params.__inputs__[spec.name]
            wrong.append(Problem(spec.name, f"{problems.title(item)}: {error}", item.label))
    if wrong:
        raise ParamsError(wrong)
    return encoded


def described(params: type[HasInputs], *, allow_files: bool = True) -> dict[str, JsonValue]:
    """Return the JSON Schema of `params`, without the line that names its dialect."""
    from invokeai_gen.core.json_schema import params_schema

    plan = params.__plan__() if params.__plan__ is not None else None
    return params_schema(params, plan, allow_files=allow_files)


def pydantic_schema(params: type[HasInputs], *, allow_files: bool = True) -> CoreSchema:
    """Return what pydantic needs to validate and to dump values; the JSON Schema is asked of `params` itself."""

    def validate(value: Any) -> HasInputs:
        if isinstance(value, params):
            return value
        try:
            return from_data(params, value, allow_files=allow_files)
        except ParamsError as error:
            raise _validation_error(params.__name__, error, value) from None

    def dump(value: HasInputs, info: core_schema.SerializationInfo) -> dict[str, Any]:
        if info.mode == "json":
            return to_data(value, embed=True)
        return {spec.name: getattr(value, spec.name) for spec in fields(cast("Any", value))}

    return core_schema.no_info_plain_validator_function(
        validate,
        ref=f"{params.__module__}.{params.__qualname__}:{id(params)}" if allow_files else None,
        serialization=core_schema.plain_serializer_function_ser_schema(dump, info_arg=True),
        metadata={"params": params},
    )


def _validation_error(title: str, error: ParamsError, data: Any) -> ValidationError:
    details = []
    for problem in error.problems:
        has_value = isinstance(data, Mapping) and problem.name in data
        details.append(
            InitErrorDetails(
                type=PydanticCustomError("params", "{problem}", {"problem": escape_surrogates(problem.message)}),
                loc=(escape_surrogates(problem.name),) if problem.name else (),
                input=data[problem.name] if has_value else data,
            )
        )
    return ValidationError.from_exception_data(title, details)


class NoLocalFiles:
    """Mark `Params` that come from strangers: `def draw(p: Annotated[wf.Params, NoLocalFiles])` in a web service.

    Paths are refused, and a text names an image on the server. Send the image itself as a data URL.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[HasInputs], handler: Any) -> CoreSchema:
        return pydantic_schema(source, allow_files=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, JsonValue]:
        params: type[HasInputs] = cast("Any", schema)["metadata"]["params"]
        return described(params, allow_files=False)
