"""Generator nodes: the lists that replace those of batch nodes, number for number as the GUI computes them."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from invokeai_gen import js_json, js_reading
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.generator_settings import IMAGE_GENERATOR

MAX_GENERATED_ITEMS: Final = 100_000
"""Far larger than any queue, far smaller than memory."""

_IMAGE_CATEGORIES: Final = {"images": ("general",), "assets": ("control", "mask", "user", "other")}


class GeneratorError(InvokeAIGenError):
    """Settings of a generator that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerQuery:
    """A request that the GUI sends as well, and how to read the answer."""

    node_id: str
    """The generator node."""
    method: str
    path: str
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    json: JsonValue = None
    purpose: str
    """For people: `dynamic prompts`."""

    def items(self, answer: JsonValue) -> list[JsonValue]:
        """Return the list of the generator; empty for an answer that reports an error, as in the GUI."""
        if self.method == "GET":
            return [{"image_name": name} for name in answer]
        return [] if answer.get("error") else list(answer["prompts"])


def server_query(node_id: str, settings: Mapping[str, Any]) -> ServerQuery | None:
    """Return the request that a generator with these settings needs; `None` if it needs no server."""
    match settings.get("type"):
        case "string_generator_dynamic_prompts_combinatorial":
            body = {"prompt": settings["input"], "max_prompts": settings["maxPrompts"], "combinatorial": True}
        case "string_generator_dynamic_prompts_random":
            seed = settings.get("seed")
            body = {"prompt": settings["input"], "max_prompts": settings["count"], "combinatorial": False}
            body["seed"] = random.randint(0, 1) if seed is None else seed
        case str() as kind if kind == IMAGE_GENERATOR and settings.get("board_id"):
            params = {"categories": list(_IMAGE_CATEGORIES[settings["category"]]), "is_intermediate": False}
            path = f"/api/v1/boards/{quote(settings['board_id'], safe='')}/image_names"
            return ServerQuery(node_id=node_id, method="GET", path=path, params=params, purpose="the images of a board")
        case _:
            return None
    path = "/api/v1/utilities/dynamicprompts"
    return ServerQuery(node_id=node_id, method="POST", path=path, json=body, purpose="dynamic prompts")


def generate(settings: Mapping[str, Any]) -> list[JsonValue]:
    """Return the list of a generator that needs no server.

    A list stored in a float generator's `values` is taken as it is. Without a seed the random ones differ at every
    call. Raises `GeneratorError` for more than `MAX_GENERATED_ITEMS` items and for settings of no known kind.
    """
    stored = settings.get("values")
    if stored is not None:
        return list(stored)
    kind = settings.get("type")
    if kind == IMAGE_GENERATOR:
        return []  # no board chosen
    make = _KINDS.get(str(kind))
    if make is None:
        raise GeneratorError("the settings fit no kind of generator")
    if settings.get("count", 0) > MAX_GENERATED_ITEMS:
        raise GeneratorError(f"a generator makes {settings['count']} items, more than {MAX_GENERATED_ITEMS}")
    return make(settings)


def _arithmetic_sequence(settings: Mapping[str, Any]) -> list[JsonValue]:
    start, step = settings["start"], settings["step"]
    if step == 0:
        return [start]
    return [js_json.number(start + index * step) for index in range(settings["count"])]


def _linear_distribution(settings: Mapping[str, Any]) -> list[JsonValue]:
    return [js_json.number(settings["start"] + step) for step in _linear_steps(settings)]


def _linear_integers(settings: Mapping[str, Any]) -> list[JsonValue]:
    whole = ((math.floor(step), step % 1) for step in _linear_steps(settings))
    return [settings["start"] + floor + (rest >= 0.5) for floor, rest in whole]


def _linear_steps(settings: Mapping[str, Any]) -> list[float]:
    distance, count = settings["end"] - settings["start"], settings["count"]
    return [0] if count == 1 else [distance * (index / (count - 1)) for index in range(count)]


def _uniform(settings: Mapping[str, Any]) -> list[JsonValue]:
    low, high = settings["min"], settings["max"]
    draws = _draws(settings.get("seed"), settings["count"])
    return [js_json.number(draw * (high - low) + low) for draw in draws]


def _uniform_integers(settings: Mapping[str, Any]) -> list[JsonValue]:
    low, high = settings["min"], settings["max"]
    draws = _draws(settings.get("seed"), settings["count"])
    return [math.floor(draw * (high - low + 1)) + low for draw in draws]


def _draws(seed: int | None, count: int) -> Iterator[float]:
    """Yield numbers in [0, 1): with a seed those of MT19937 seeded by `init_genrand`, otherwise any."""
    source = random.SystemRandom() if seed is None else _mersenne_twister(seed)
    return (source.getrandbits(32) / 2**32 for _ in range(count))


def _mersenne_twister(seed: int) -> random.Random:
    """Return MT19937 seeded by `init_genrand`; Python's own generator seeds it by `init_by_array`."""
    state = [seed & 0xFFFFFFFF]
    for index in range(1, 624):
        previous = state[-1]
        state.append((1812433253 * (previous ^ (previous >> 30)) + index) & 0xFFFFFFFF)
    generator = random.Random()
    generator.setstate((3, (*state, 624), None))
    return generator


def _parts(settings: Mapping[str, Any]) -> list[str]:
    """`splitOn` may be written with JSON's escapes, such as `\\n`; empty, it does not split."""
    text, separator = str(settings["input"]), str(settings["splitOn"])
    if separator == "":
        return [text]
    with contextlib.suppress(ValueError):
        separator = json.loads(f'"{separator}"')
    return text.split(separator)


_FLOAT: Final = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")


def _parse_numbers(pattern: re.Pattern[str]) -> Callable[[Mapping[str, Any]], list[JsonValue]]:
    """As JavaScript's `parseFloat` and `parseInt`: the longest number that the text starts with."""

    def parse(settings: Mapping[str, Any]) -> list[JsonValue]:
        matches = (pattern.match(js_reading.trim(part)) for part in _parts(settings))
        numbers = (float(match.group().replace("Infinity", "inf")) for match in matches if match)
        # JSON has no infinity; the GUI sends null in its place.
        return [js_json.number(number) if math.isfinite(number) else None for number in numbers]

    return parse


def _parse_strings(settings: Mapping[str, Any]) -> list[JsonValue]:
    return [part for part in _parts(settings) if part]


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], list[JsonValue]]]] = {
    "float_generator_arithmetic_sequence": _arithmetic_sequence,
    "float_generator_linear_distribution": _linear_distribution,
    "float_generator_random_distribution_uniform": _uniform,
    "float_generator_parse_string": _parse_numbers(_FLOAT),
    "integer_generator_arithmetic_sequence": _arithmetic_sequence,
    "integer_generator_linear_distribution": _linear_integers,
    "integer_generator_random_distribution_uniform": _uniform_integers,
    "integer_generator_parse_string": _parse_numbers(_INTEGER),
    "string_generator_parse_string": _parse_strings,
}
