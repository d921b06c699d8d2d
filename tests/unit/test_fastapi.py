"""A web service takes `Params` as the body of a request, and describes them in its own openapi.json."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI

from generated import color_study_batch as batch
from generated import three_stage_refine as wf
from invokeai_gen import NoLocalFiles

app = FastAPI()


@app.post("/draw")
def draw(p: wf.Params) -> dict[str, Any]:
    """Answer with what was understood."""
    return p.to_dict()


@app.post("/public")
def draw_for_strangers(p: Annotated[batch.Params, NoLocalFiles]) -> batch.Params:
    """Answer with the values themselves."""
    return p


def ask(method: str, path: str, **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def test_a_body_is_read_and_checked() -> None:
    answer = ask("POST", "/draw", json={"model": "dreamshaper"})
    assert (answer.status_code, answer.json()) == (200, wf.Params(model="dreamshaper").to_dict())
    answer = ask("POST", "/public", json={})
    assert (answer.status_code, answer.json()) == (200, batch.Params().to_dict())


def test_a_body_that_does_not_fit_is_refused_by_label() -> None:
    answer = ask("POST", "/draw", json={"widht": 7})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", "widht"]
    assert problem["msg"] == "unknown input 'widht'; did you mean Width (width)?"


@pytest.mark.parametrize("value", [r'"\ud800"', "[" * 900 + "]" * 900])
def test_what_cannot_be_sent_back_is_refused_like_anything_else(value: str) -> None:
    headers = {"content-type": "application/json"}
    for name in ("model", "seed"):
        answer = ask("POST", "/draw", content=f'{{"{name}": {value}}}', headers=headers)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", name])


def test_the_service_describes_the_values() -> None:
    document = ask("GET", "/openapi.json").json()
    assert ask("GET", "/docs").status_code == 200
    schemas = document["components"]["schemas"]
    body = document["paths"]["/draw"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = schemas[body["$ref"].removeprefix("#/components/schemas/")]
    assert described == {key: value for key, value in wf.Params.json_schema().items() if key != "$schema"}
    jsonschema.Draft202012Validator(described).validate(wf.Params().to_dict())
