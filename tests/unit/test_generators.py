"""Generators make the numbers and texts that the GUI makes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from invokeai_gen.core.generators import GeneratorError, generate, server_query


def _integers(kind: str, **settings: Any) -> list[Any]:
    return generate({"type": f"integer_generator_{kind}", **settings})


def _floats(kind: str, **settings: Any) -> list[Any]:
    return generate({"type": f"float_generator_{kind}", **settings})


def test_sequences() -> None:
    assert _integers("arithmetic_sequence", start=5, step=-2, count=3) == [5, 3, 1]
    assert _integers("arithmetic_sequence", start=5, step=0, count=3) == [5]
    assert _integers("arithmetic_sequence", start=5, step=1, count=-3) == []
    assert _floats("arithmetic_sequence", start=0, step=0.1, count=4) == [0, 0.1, 0.2, 0.1 * 3]


def test_integers_spread_over_a_range_round_halves_up() -> None:
    assert _integers("linear_distribution", start=0, end=5, count=3) == [0, 3, 5]
    assert _integers("linear_distribution", start=0, end=-5, count=3) == [0, -2, -5]
    assert _integers("linear_distribution", start=4, end=9, count=1) == [4]
    assert _floats("linear_distribution", start=0, end=1, count=3) == [0, 0.5, 1]


def test_a_seed_gives_the_numbers_of_the_mersenne_twister_seeded_by_one_number() -> None:
    # 5489 is the seed of the reference implementation, whose first two outputs are well known.
    reference = [3499211612, 581869302]
    assert _floats("random_distribution_uniform", min=0, max=1, count=2, seed=5489) == [n / 2**32 for n in reference]
    expected = [int(n / 2**32 * 6) + 1 for n in reference]
    assert _integers("random_distribution_uniform", min=1, max=6, count=2, seed=5489) == expected


def test_without_a_seed_every_call_draws_anew() -> None:
    settings = {"min": 0, "max": 2**32, "count": 4, "seed": None}
    random.seed(0)
    first = _integers("random_distribution_uniform", **settings)
    random.seed(0)
    assert _integers("random_distribution_uniform", **settings) != first


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("1, 2 ,x, 7abc,,-3.5e1", ",", [1, 2, 7, -35]),
        ("1\n2", "\\n", [1, 2]),
        ("1\\2", "\\", [1, 2]),
        ("1,2", "", [1]),
        (".5;5.;Infinity;-", ";", [0.5, 5, None]),
    ],
)
def test_floats_are_parsed_as_javascript_does(text: str, separator: str, expected: list[Any]) -> None:
    assert _floats("parse_string", input=text, splitOn=separator) == expected


def test_integers_are_parsed_as_javascript_does() -> None:
    assert _integers("parse_string", input="1.9,0x1f,-7abc, 12", splitOn=",") == [1, 0, -7, 12]


def test_strings_are_not_trimmed_and_empty_ones_dropped() -> None:
    settings = {"type": "string_generator_parse_string", "input": "one|two| three ||", "splitOn": "|"}
    assert generate(settings) == ["one", "two", " three "]


def test_stored_values_win() -> None:
    assert _floats("arithmetic_sequence", start=0, step=1, count=3, values=[]) == []
    assert _floats("arithmetic_sequence", start=0, step=1, count=3, values=[7.5]) == [7.5]


def test_a_generator_cannot_exhaust_memory() -> None:
    with pytest.raises(GeneratorError, match="1000000000 items, more than 100000"):
        _integers("arithmetic_sequence", start=0, step=1, count=10**9)
    assert len(_integers("arithmetic_sequence", start=0, step=1, count=100_000)) == 100_000


def test_what_only_a_server_knows_becomes_a_query() -> None:
    query = server_query("n", {"type": "image_generator_images_from_board", "board_id": "a/b", "category": "assets"})
    assert query is not None
    assert (query.method, query.path) == ("GET", "/api/v1/boards/a%2Fb/image_names")
    assert query.params == {"categories": ["control", "mask", "user", "other"], "is_intermediate": False}
    assert query.items(["x.png"]) == [{"image_name": "x.png"}]

    prompts = {"type": "string_generator_dynamic_prompts_combinatorial", "input": "a {b|c}", "maxPrompts": 5}
    query = server_query("n", prompts)
    assert query is not None
    assert query.json == {"prompt": "a {b|c}", "max_prompts": 5, "combinatorial": True}
    assert query.items({"prompts": ["a b", "a c"], "error": None}) == ["a b", "a c"]
    assert query.items({"prompts": ["a b"], "error": "bad"}) == []

    assert server_query("n", {"type": "image_generator_images_from_board", "category": "images"}) is None


def test_random_prompts_without_a_seed_get_one() -> None:
    settings = {"type": "string_generator_dynamic_prompts_random", "input": "a {b|c}", "count": 5}
    drawn = [server_query("n", {**settings, "seed": seed}) for seed in (None, 7)]
    assert [query.json["seed"] for query in drawn if query is not None] in ([0, 7], [1, 7])
