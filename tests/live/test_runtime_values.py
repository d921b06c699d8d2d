"""What a run is given: files, LoRAs, batches, and lists that only the server can make."""

import asyncio
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from generated import sdxl_with_lora
from invokeai_gen import (
    ConditioningOutput,
    ImageInput,
    ImageOutput,
    InvokeAIClient,
    LatentsOutput,
    LoRA,
    ModelRef,
    ParamsError,
    VideoOutput,
)
from invokeai_gen.server.run_errors import MediaResolutionError, ModelResolutionError
from tests import plans
from tests.live.proxy import Proxy

TIME = 120.0
MP4 = Path(__file__).with_name("media") / "tiny.mp4"
"""64x48, eight frames in one second."""


def png(width: int) -> bytes:
    buffer = BytesIO()
    PIL.Image.new("RGB", (width, 20), "blue").save(buffer, "PNG")
    return buffer.getvalue()


def asked(proxy: Proxy, path: bytes) -> int:
    return sum(path in line for line in proxy.requests)


def test_equal_files_are_uploaded_once(server_url: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(40))
    (tmp_path / "copy of a.png").write_bytes(png(40))
    pictures: list[ImageInput] = [tmp_path / "a.png", png(48), tmp_path / "copy of a.png", png(40), png(56)]
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        outs = plans.shrink_all().run_all(
            plans.ShrinkAllParams(pictures=pictures), client=client, timeout=TIME, cleanup=("inputs", "outputs")
        )
        assert [out.small.size for out in outs] == [(8, 8)] * 5
        assert asked(proxy, b"/images/upload") == 3
        assert outs[0].cleanup is not None
        assert len(outs[0].cleanup.raise_for_failures().deleted) == 3 + 5


def test_pictures_as_people_have_them_are_uploaded_as_what_they_show(client: InvokeAIClient) -> None:
    red = (255, 0, 0)
    known = client.images.get(client.images.upload(png(40), "a.png").image_name)
    pictures: list[ImageInput] = [
        PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)),
        PIL.Image.new("RGB", (16, 16), red).convert("P"),
        np.full((16, 16, 3), red, np.uint8),
        BytesIO(png(16)),
        known,
    ]
    shrink = plans.shrink_all()
    params = plans.ShrinkAllParams(pictures=pictures)
    outs = shrink.run_all(params, client=client, timeout=TIME)
    colors = [out.small.pil().convert("RGB").getpixel((4, 4)) for out in outs]
    assert colors == [red, red, red, (0, 0, 255), (0, 0, 255)]


def test_one_file_that_is_no_image_takes_the_others_back(server_url: str) -> None:
    pictures: list[ImageInput] = [png(40), b"not an image", png(48)]
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        with pytest.raises(MediaResolutionError, match="'Pictures'"):
            plans.shrink_all().run_all(plans.ShrinkAllParams(pictures=pictures), client=client)
        assert (asked(proxy, b"/images/upload"), asked(proxy, b"/images/delete")) == (3, 1)
        assert asked(proxy, b"/enqueue_batch") == 0


def test_a_video_is_uploaded_cut_saved_and_deleted(client: InvokeAIClient, tmp_path: Path) -> None:
    job = plans.cut().submit(plans.CutParams(video=MP4), client=client)
    part = job.outputs().part
    assert part.size == (64, 48)
    assert part.info().duration < 1
    assert part.save(tmp_path / "new" / "part.mp4").read_bytes() == part.bytes()
    saved = part.download(tmp_path, include_metadata=True)
    assert saved.name == part.name
    assert json.loads(saved.with_suffix(".json").read_text(encoding="utf-8")) == part.metadata()
    assert [path.name for path in job.outputs().download_outputs(tmp_path)] == ["part.mp4"]
    assert job.outputs().every(VideoOutput) == [part]
    again = plans.cut().run(plans.CutParams(video=part, last_frame=1), client=client, timeout=TIME)
    assert again.part.name != part.name
    again.cleanup_outputs().raise_for_failures()
    (uploaded,) = job.uploads.videos
    assert set(job.clean_up(("inputs", "outputs")).raise_for_failures().deleted) == {uploaded, part.name}


def test_a_file_that_is_no_video_is_reported_by_its_label(client: InvokeAIClient) -> None:
    with pytest.raises(MediaResolutionError, match="'Video': the server cannot read 'upload' as a video"):
        plans.cut().run(plans.CutParams(video=b"not a video"), client=client)


def test_loras_are_found_by_name_alone_or_in_a_list(client: InvokeAIClient) -> None:
    (here,) = client.models.find("tiny-sd15-lora", type="lora")
    for given in (LoRA("tiny-sd15-lora", 0.5), [LoRA(ModelRef(hash=here.hash), 0.5)]):
        out = plans.loras().run(plans.LorasParams(loras=given), client=client, timeout=TIME)
        (applied,) = out.by_node("loras")[0]["unet"]["loras"]
        assert (applied["lora"]["key"], applied["weight"]) == (here.key, 0.5)
    with pytest.raises(ModelResolutionError, match=r"'LoRAs': .*tiny-sd15-lora \(sd-1 lora\)"):
        plans.loras().run(plans.LorasParams(loras=LoRA("tiny-sd15-lorax")), client=client)


def test_a_generated_module_applies_its_lora(client: InvokeAIClient) -> None:
    (here,) = client.models.find("tiny-sdxl-lora", type="lora")
    params = sdxl_with_lora.Params(output_width=64, output_height=64, steps=2, lora="tiny-sdxl-lora", lora_weight=0.25)
    out = sdxl_with_lora.run(params, client=client, timeout=TIME, cleanup=("outputs",))
    applied = [
        (lora["lora"]["key"], lora["weight"])
        for results in out.nodes.values()
        for result in results
        for lora in (result.get("unet") or {}).get("loras", ())
    ]
    assert applied == [(here.key, 0.25)]
    assert len(out.every(LatentsOutput)) >= 1
    assert len(out.every(ConditioningOutput)) == 2
    assert out.images[0] in out.every(ImageOutput)


def test_dynamic_prompts_are_asked_of_the_server(client: InvokeAIClient) -> None:
    settings = {
        "type": "string_generator_dynamic_prompts_combinatorial",
        "input": "a {red|blue} {dog|cat}",
        "maxPrompts": 3,
    }
    outs = plans.prompts().run_all(plans.PromptsParams(prompts=settings), client=client, timeout=TIME)
    assert [out.prompt for out in outs] == ["a red dog", "a red cat", "a blue dog"]
    random = {"type": "string_generator_dynamic_prompts_random", "input": "{a|b} fox", "count": 4, "seed": 1}
    outs = plans.prompts().run_all(plans.PromptsParams(prompts=random), client=client, timeout=TIME)
    assert len(outs) == 4
    assert {out.prompt for out in outs} <= {"a fox", "b fox"}


def test_the_images_of_a_board_are_asked_of_the_server(client: InvokeAIClient) -> None:
    with client.boards.temporary("runtime tests: generator", images="delete") as board:
        names = {client.images.upload(png(8 * n), board_id=board.board_id).image_name for n in (1, 2, 3)}
        settings = {"type": "image_generator_images_from_board", "board_id": board.board_id, "category": "assets"}
        job = plans.board_images().submit(plans.BoardImagesParams(images=settings), client=client)
        given = [value["image_name"] for out in job.all_outputs() for value in out.batch_values.values()]
        assert len(given) == 3
        assert set(given) == names
        job.cleanup_outputs().raise_for_failures()


def test_an_item_of_a_batch_that_would_block_the_queue_is_never_sent(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        with pytest.raises(
            ParamsError,
            match=r"2 problems:\n.*Widths.*item 1 is 65, but what goes into 'Noise' \(width\) should be a multiple of 8",
        ):
            plans.noises().run_all(plans.BatchParams(widths=[64, 65, 0]), client=client)
        assert asked(proxy, b"/enqueue_batch") == 0
        assert len(plans.noises().run_all(plans.BatchParams(widths=[64, 72]), client=client, timeout=TIME)) == 2


def test_a_callback_may_time_out_without_being_taken_for_the_job(client: InvokeAIClient) -> None:
    def impatient(_event: object) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        plans.picture().run(plans.PictureParams(), client=client, timeout=TIME, on_status=impatient)


def test_timings_span_all_items_of_a_job(client: InvokeAIClient) -> None:
    async def main() -> tuple[float | None, float]:
        job = await plans.batched().asubmit(plans.BatchParams(widths=[16, 24]), client=client)
        await job.wait(TIME)
        timings = await job.timings()
        first, last = [item.timings for item in await job.items()]
        assert (timings.created, timings.started, timings.completed) == (first.created, first.started, last.completed)
        assert last.execution_seconds is not None
        return timings.execution_seconds, last.execution_seconds

    whole, last = asyncio.run(main())
    assert whole is not None
    assert whole >= last
