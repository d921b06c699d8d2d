"""JSON is read and written with JavaScript's numbers and key order."""

from __future__ import annotations

import pytest

from invokeai_gen import js_reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.0", 2),
        ("2.5", 2.5),
        ("-0.0", 0),
        ("1e3", 1000),
        ("9007199254740993", 9007199254740992),
        ("12345678901234567890", 12345678901234567000),
        ("1e21", 1e21),
    ],
)
def test_numbers_are_doubles_and_integral_ones_integers(text: str, expected: float) -> None:
    value = js_reading.loads(text)
    assert value == expected
    assert type(value) is type(expected)


def test_keys_that_look_like_indices_come_first_in_numeric_order() -> None:
    assert list(js_reading.loads('{"b": 1, "10": 2, "2": 3, "01": 4, "4294967295": 5}')) == [
        "2",
        "10",
        "b",
        "01",
        "4294967295",
    ]


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e400", "9" * 500])
def test_numbers_that_json_cannot_carry_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number that JSON can carry"):
        js_reading.loads(text)


@pytest.mark.parametrize("depth", [js_reading.MAX_DEPTH + 1, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="nested deeper than 200 levels"):
        js_reading.loads("[" * depth + "]" * depth)


def test_white_space_is_what_javascript_trims() -> None:
    assert js_reading.trim("\ufeff\u00a0 x\n") == "x"
    assert js_reading.trim("\x1cx\x85") == "\x1cx\x85"


@pytest.mark.parametrize("digits", ["1" + "0" * 308, "9" * 350, "-" + "9" * 399, "9" * 400, "9" * 5000, "1e999"])
def test_a_number_beyond_the_largest_double_is_no_json(digits: str) -> None:
    if len(digits) == 309:
        assert js_reading.loads(digits) == 1e308
    else:
        with pytest.raises(ValueError, match="not a number that JSON can carry"):
            js_reading.loads(f'{{"value": {digits}}}')
