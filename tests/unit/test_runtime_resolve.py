"""Which model and which board a name means."""

import asyncio
import json

import httpx
import pytest

from invokeai_gen import AsyncInvokeAIClient
from invokeai_gen.core.matching import has_board
from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.limits import ModelLimits
from invokeai_gen.runtime.matching import find_board, find_model
from invokeai_gen.runtime.resolve import UPLOADS_AT_ONCE, resolve
from invokeai_gen.server import background, constants
from invokeai_gen.server.boards import Board
from invokeai_gen.server.models import Model
from invokeai_gen.server.run_errors import BoardResolutionError, MediaResolutionError, ModelResolutionError
from tests import plans

SD1 = Model(key="k1", hash="h1", name="dream", base="sd-1", type="main")
SDXL = Model(key="k2", hash="h2", name="dream", base="sdxl", type="main")
OTHER = Model(key="k3", hash="h3", name="juggernaut", base="sdxl", type="main")
COPY = Model(key="k4", hash="h3", name="juggernaut copy", base="sdxl", type="main")
VAE = Model(key="k5", hash="h5", name="dream", base="sdxl", type="vae")
MODELS = [SD1, SDXL, OTHER, COPY, VAE]
SDXL_MAIN = ModelLimits(base=("sdxl",), type=("main",))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("k2", SDXL),
        ("h2", SDXL),
        ("dream", SDXL),
        (ModelRef(key="k2"), SDXL),
        (ModelRef(key="of another server", hash="h2", name="renamed"), SDXL),
        (ModelRef(key="x", hash="re-quantised", name="dream", base="sdxl", type="main"), SDXL),
        (ModelRef(name="juggernaut"), OTHER),
        (ModelRef(hash="h3", name="juggernaut copy"), COPY),
        (ModelRef(hash="h3", name="renamed"), OTHER),
    ],
)
def test_a_model_is_meant_by_key_then_hash_then_name(wanted: ModelRef | str, found: Model) -> None:
    assert find_model("Model", wanted, SDXL_MAIN, MODELS) == found


def test_a_missing_model_is_reported_with_those_that_would_go_in() -> None:
    with pytest.raises(ModelResolutionError) as caught:
        find_model("SDXL Model", "dreem", SDXL_MAIN, MODELS)
    assert caught.value.label == "SDXL Model"
    assert caught.value.candidates[0] == "dream (sdxl main)"
    assert "dream (sd-1 main)" not in caught.value.candidates
    assert "no model 'dreem' that fits this field (sdxl main models)" in str(caught.value)


def test_a_model_of_another_base_is_refused_though_it_exists() -> None:
    with pytest.raises(ModelResolutionError, match=r"dream \(sd-1 main\) does not fit this field"):
        find_model("Model", ModelRef(key="k1"), SDXL_MAIN, MODELS)


def test_an_ambiguous_name_is_reported_with_keys() -> None:
    with pytest.raises(ModelResolutionError, match="several models match 'dream'") as caught:
        find_model("Model", "dream", ModelLimits(), MODELS)
    assert "dream (sdxl vae) with key 'k5'" in caught.value.candidates


BOARDS = [
    Board(board_id="1", board_name="Foxes"),
    Board(board_id="2", board_name="Twice"),
    Board(board_id="3", board_name="Twice"),
    Board(board_id="Foxes?", board_name="1"),
]


def test_a_board_is_meant_by_id_then_by_name() -> None:
    assert find_board("Board", "Foxes", BOARDS) == BOARDS[0]
    assert find_board("Board", "1", BOARDS) == BOARDS[0]
    assert find_board("Board", BoardRef("3"), BOARDS) == BOARDS[2]


def test_a_name_that_two_boards_have_is_reported_with_their_ids() -> None:
    with pytest.raises(BoardResolutionError, match="2 boards have the name 'Twice'") as caught:
        find_board("Output Board", "Twice", BOARDS)
    assert [text.split(")")[0] for text in caught.value.candidates] == ["BoardRef('2'", "BoardRef('3'"]


def test_a_name_that_no_board_has_is_reported_with_the_closest() -> None:
    with pytest.raises(BoardResolutionError) as caught:
        find_board("Output Board", "Foxs", BOARDS)
    assert caught.value.candidates[0] == "Foxes"


def test_a_board_that_has_to_be_made_has_neither_that_name_nor_that_id() -> None:
    assert [has_board(name, BOARDS) for name in ("Foxes", "Twice", "1", "Foxs")] == [True, True, True, False]


def test_an_id_is_never_taken_for_a_name_that_could_be_made() -> None:
    with pytest.raises(BoardResolutionError):
        find_board("Output Board", BoardRef("9"), BOARDS)


def test_many_files_are_uploaded_a_few_at_a_time() -> None:
    running, most, is_full = 0, 0, asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == UPLOADS_AT_ONCE:
            is_full.set()
        async with asyncio.timeout(30):
            await is_full.wait()
        await settle()
        running -= 1
        return httpx.Response(201, json={"image_name": f"{most}.png", "width": 1, "height": 1})

    client = AsyncInvokeAIClient("http://server", http_backend=httpx.MockTransport(answer))
    pictures = [str(number).encode() for number in range(20)]
    _, made = asyncio.run(resolve(plans.shrink_all().plan, {("batch", "images"): pictures}, client))
    assert len(made.uploads.images) == 20
    assert most == UPLOADS_AT_ONCE


async def settle() -> None:
    """Let everything on this loop go on that can."""
    for _ in range(100):
        await asyncio.sleep(0)


# -- when it does not come about ---------------------------------------------------------------------------------------


class Server:
    """Takes uploads and boards; what is deleted again, and what answers are lost, is up to the test."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.boards: list[dict[str, str]] = []
        self.loses_answers = False
        self.deletes = True
        self.uploading = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/upload"):
            if b"not an image" in request.content:
                return httpx.Response(415, json={"detail": "no"})
            self.uploading.set()
            await self.go_on.wait()
            name = f"{len(self.images)}.png"
            self.images[name] = request.url.params["session_id"]
            return httpx.Response(201, json={"image_name": name, "width": 1, "height": 1})
        if path.endswith("/images/delete"):
            if not self.deletes:
                raise httpx.ReadError("reset")
            names = json.loads(request.content)["image_names"]
            return httpx.Response(200, json={"deleted_images": [name for name in names if self.images.pop(name, None)]})
        if request.method == "POST":
            self.boards.append({"board_id": f"id{len(self.boards)}", "board_name": request.url.params["board_name"]})
            if self.loses_answers:
                raise httpx.ReadError("reset")
            return httpx.Response(201, json=self.boards[-1])
        return httpx.Response(200, json=[] if path.endswith("image_names") else self.boards)

    def client(self) -> AsyncInvokeAIClient:
        return AsyncInvokeAIClient("http://server", http_backend=httpx.MockTransport(self))


PICTURES = {("batch", "images"): [b"one", b"two"]}


@pytest.mark.usefixtures("no_pauses")
def test_what_cannot_be_deleted_after_a_mistake_is_noted_on_it() -> None:
    server = Server()
    server.deletes = False
    values = {("batch", "images"): [b"one", b"not an image"]}
    with pytest.raises(MediaResolutionError, match="cannot read") as caught:
        asyncio.run(resolve(plans.shrink_all().plan, values, server.client()))
    reason = "the connection to http://server broke during POST /api/v1/images/delete (reset)"
    assert caught.value.__notes__ == [f"clean-up: 0.png is still there: {reason}"]


@pytest.mark.usefixtures("no_pauses")
def test_a_board_whose_answer_was_lost_is_found_and_made_once() -> None:
    server = Server()
    server.loses_answers = True
    values = {("save", "board"): "Foxes"}
    found, made = asyncio.run(resolve(plans.picture().plan, values, server.client(), create_boards=True))
    assert found == {("save", "board"): {"board_id": "id0"}}
    assert made.boards == ["id0"]
    assert len(server.boards) == 1


def test_an_upload_under_way_when_the_run_is_canceled_is_deleted_too() -> None:
    server = Server()
    server.go_on.clear()

    async def main() -> None:
        task = asyncio.create_task(resolve(plans.shrink_all().plan, PICTURES, server.client()))
        await asyncio.wait_for(server.uploading.wait(), 30)
        task.cancel()
        await settle()
        assert not task.done()
        server.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    background.run(main())
    assert server.images == {}


def test_a_canceled_run_does_not_wait_for_ever_for_an_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "UNDO_TIMEOUT", 0.05)
    server = Server()
    server.go_on.clear()

    async def main() -> list[str]:
        task = asyncio.create_task(resolve(plans.shrink_all().plan, PICTURES, server.client()))
        await asyncio.wait_for(server.uploading.wait(), 30)
        task.cancel()
        try:
            await asyncio.wait_for(task, 30)
        except asyncio.CancelledError as error:
            return list(error.__notes__)
        raise AssertionError("it was canceled")

    (note,) = background.run(main())
    assert "broken off" in note


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (ModelRef(name="dreem", hash="h9", key="k9"), "'dreem'"),
        (ModelRef(hash="h9", key="k9"), "'h9'"),
        (ModelRef(hash="h9"), "'h9'"),
        (ModelRef(key="k9"), "'k9'"),
    ],
)
def test_a_missing_model_is_called_by_what_people_know_best(wanted: ModelRef, shown: str) -> None:
    with pytest.raises(ModelResolutionError, match=f"no model {shown}"):
        find_model("Model", wanted, SDXL_MAIN, MODELS)
