"""Short spellings of LoRAs and boxes."""

from __future__ import annotations

import pytest

from invokeai_gen.core.short_texts import box_of_text, lora_of_text, loras_of_text


def test_loras_with_and_without_weights() -> None:
    assert loras_of_text('ink@0.5, "a, b@-1", wash') == [
        {"lora": "ink", "weight": 0.5},
        {"lora": "a, b", "weight": -1.0},
        "wash",
    ]


@pytest.mark.parametrize("text", ["me@home", "ink", "ink@", "@1"])
def test_a_text_without_a_weight_is_a_name(text: str) -> None:
    assert lora_of_text(text) == text


def test_a_box_has_four_numbers() -> None:
    assert box_of_text(" 0,1 - 64,32") == {"x_min": 0, "y_min": 1, "x_max": 64, "y_max": 32}
    assert box_of_text("0,1,64,32") is None
