"""InvokeAI's dynamic prompts (`a {red|blue} fox`) as the values of a sweep; the server expands them, as for the GUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.problems import ParamsError, about
from invokeai_gen.core.values import Input
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.texts import shown

MAX_PROMPTS: Final = 10_000
"""The limit of the server."""


@dataclass(frozen=True, slots=True)
class DynamicPrompts:
    """A prompt with choices, to be given in `product` or `zip`: `product={"prompt": DynamicPrompts("a {red|blue} fox")}`.

    The syntax is the GUI's: `{a|b}` for a choice, `{2$$a|b|c}` for several, `__wildcards__`.
    """

    prompt: str
    max_prompts: int = 100
    """The number of random prompts, or the limit for combinations: more are an error. At most 10,000."""
    combinatorial: bool = True
    """Use all combinations in order; otherwise `max_prompts` random ones."""
    seed: int | None = None
    """For random prompts: the same seed gives the same prompts."""


async def expand(
    params_type: type[WorkflowParams], values: Mapping[str, object] | None, client: AsyncInvokeAIClient
) -> Mapping[str, object] | None:
    """Replace each `DynamicPrompts` by the prompts that the server makes of it. Raise `ParamsError` for its errors."""
    if not isinstance(values, Mapping):
        return values
    inputs = {item.name: item for item in params_type.inputs()}
    return {
        name: await _prompts(inputs[name], value, client)
        if name in inputs and isinstance(value, DynamicPrompts)
        else value
        for name, value in values.items()
    }


async def _prompts(item: Input, dynamic: DynamicPrompts, client: AsyncInvokeAIClient) -> list[str]:
    body = {
        "prompt": dynamic.prompt,
        # The server cuts off the rest without a word: with one more, it is known whether there is a rest.
        "max_prompts": min(dynamic.max_prompts + dynamic.combinatorial, MAX_PROMPTS),
        "combinatorial": dynamic.combinatorial,
        **({} if dynamic.seed is None else {"seed": dynamic.seed}),
    }
    answer = await client.ask("POST", "/api/v1/utilities/dynamicprompts", json=body)
    if not isinstance(answer, dict) or answer.get("error") or not isinstance(answer.get("prompts"), list):
        reason = answer.get("error") if isinstance(answer, dict) else None
        message = f"the server cannot expand {shown(dynamic.prompt)}: {reason or 'it gave no prompts'}"
    elif len(answer["prompts"]) > dynamic.max_prompts:
        message = (
            f"{shown(dynamic.prompt)} makes more than {dynamic.max_prompts:,} prompts, the limit: allow more "
            "(max_prompts=, --max-prompts), or offer fewer choices"
        )
    else:
        return [str(prompt) for prompt in answer["prompts"]]
    raise ParamsError([about(item, f": {message}")])
