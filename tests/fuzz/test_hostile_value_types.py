"""Openapi files whose value types mean harm: each is read, or refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.schema import SchemaError, load_schema
from tests.fuzz import properties, value_types

BLOCK = 150


@pytest.mark.parametrize("first", range(0, 4 * BLOCK, BLOCK))
def test_every_value_type_is_read_or_refused_in_words(first: int) -> None:
    planned = 0
    for number in range(first, first + BLOCK):
        case = value_types.case(number)
        try:
            plan, _ = properties.compiled(case)
        except InvokeAIGenError as error:
            properties.check_error(error)
        except Exception as error:
            raise AssertionError(f"case {number}") from error
        else:
            planned += bool(plan.inputs)
    assert planned > BLOCK // 2


@pytest.mark.parametrize("digits", [309, 350, 399, 5000])
@pytest.mark.parametrize("key", ["minimum", "default", "const", "description"])
def test_a_number_of_many_digits_is_refused_in_words(key: str, digits: int, tmp_path: Path) -> None:
    document = value_types.case(1).schema
    document["components"]["schemas"]["EvilInvocation"]["properties"]["f0"][key] = 12345
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document).replace("12345", "9" * digits), encoding="utf-8")
    with pytest.raises(SchemaError, match="not a number that JSON can carry"):
        load_schema(path)
