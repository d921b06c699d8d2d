"""What also holds on an older InvokeAI. Opt in with `INVOKEAI_GEN_OLD_SERVER=1`: it takes a second server.

The tests are those of the other modules, on this module's server.
"""

# ruff: noqa: F401

import os
from collections.abc import Callable, Iterator

import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.server.status_errors import UnsupportedByServerError
from tests.live.test_examples import picture, test_doctor_decides_as_the_server_does
from tests.live.test_runtime_cleanup import (
    out,
    test_a_board_made_for_a_run_is_deleted_with_it,
    test_a_board_made_for_a_run_stays_once_others_use_it,
    test_a_policy_cleans_up_after_success_and_failure,
    test_a_temporary_board_lasts_as_long_as_its_block,
    test_an_image_made_into_another_leaves_nothing_but_the_file,
    test_images_may_stay_and_only_leave_their_board,
    test_items_of_one_job_that_share_a_cached_image_delete_it_once,
    test_outputs_of_this_run_are_deleted_and_those_of_others_kept,
    test_what_was_uploaded_is_deleted_again_and_nothing_else,
)
from tests.live.test_runtime_media import test_an_image_goes_to_the_board_that_was_named
from tests.live.test_runtime_repositories import (
    board,
    test_a_server_tells_its_version_and_schema,
    test_boards_live_and_die,
    test_images_are_uploaded_moved_starred_and_deleted,
    test_models_are_listed_and_found,
    test_the_asynchronous_client_has_the_same_methods,
    test_the_queue_is_looked_into,
    test_workflows_are_kept_in_the_library,
)
from tests.live.test_runtime_run import (
    test_a_batch_gives_one_outputs_for_each_item_in_order,
    test_a_failure_names_node_field_and_reason,
    test_a_job_is_taken_up_again_by_its_item_id,
    test_a_lost_answer_to_an_enqueue_does_not_run_it_twice,
    test_a_model_of_another_server_is_found_by_its_hash_and_a_wrong_one_refused,
    test_a_refusal_speaks_of_labels,
    test_a_run_that_takes_too_long_is_canceled,
    test_a_running_item_can_be_canceled,
    test_an_item_that_vanishes_is_reported,
    test_events_tell_everything_from_the_first_on,
    test_iterations_come_in_the_order_of_their_items,
    test_outputs_stream_as_their_nodes_finish,
    test_progress_has_percentage_and_preview,
    test_run_returns_the_outputs_of_the_values_given,
    test_text_to_image_runs_with_a_model_found_by_name,
    test_the_error_of_a_node_is_the_last_event_of_a_failed_item,
    test_two_hundred_waits_at_once_each_get_their_own,
    test_without_events_the_server_is_asked,
)
from tests.live.test_runtime_values import (
    test_dynamic_prompts_are_asked_of_the_server,
    test_equal_files_are_uploaded_once,
    test_loras_are_found_by_name_alone_or_in_a_list,
    test_the_images_of_a_board_are_asked_of_the_server,
)
from tests.live.test_server_repositories import (
    MP4,
    test_a_board_handle,
    test_a_board_is_saved_as_a_zip,
    test_a_model_is_installed_changed_and_deleted,
    test_an_image_carries_its_workflow_and_graph,
    test_an_install_that_fails_has_its_reason,
    test_images_by_path_latest_starred_and_copied,
    test_images_may_be_deleted_while_they_are_listed,
    test_intermediate_images_are_counted_and_cleared,
    test_the_application,
    test_the_asynchronous_repositories,
    test_the_library_has_tags_counts_thumbnails_and_opened_workflows,
    test_the_queue_is_paused_retried_and_waited_for,
)
from tests.server import Server

VERSION = "6.8.1"

pytestmark = [
    pytest.mark.old_server,
    pytest.mark.skipif(os.environ.get("INVOKEAI_GEN_OLD_SERVER") != "1", reason="INVOKEAI_GEN_OLD_SERVER is not 1"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server.start(version=VERSION, models=True) as running:
        yield running


@pytest.fixture(scope="module")
def server_url(server: Server) -> str:
    return server.url


def test_it_is_the_older_one(client: InvokeAIClient) -> None:
    assert client.version() == VERSION


NEWER: dict[str, tuple[str, Callable[[InvokeAIClient], object]]] = {
    "models.missing": ("6.12", lambda client: client.models.missing()),
    "workflows.tags": ("6.10", lambda client: client.workflows.tags()),
    "workflows.set_public": ("6.13", lambda client: client.workflows.set_public("w")),
    "accounts.login": ("6.12", lambda client: client.accounts.login("a@example.com", "b")),
    "accounts.logout": ("6.12", lambda client: client.accounts.logout()),
    "accounts.me": ("6.12", lambda client: client.accounts.me()),
    "accounts.update_me": ("6.12", lambda client: client.accounts.update_me(display_name="a")),
    "accounts.list": ("6.12", lambda client: client.accounts.list()),
    "accounts.get": ("6.12", lambda client: client.accounts.get("u")),
    "accounts.create": ("6.12", lambda client: client.accounts.create("a@example.com", "b")),
    "accounts.update": ("6.12", lambda client: client.accounts.update("u", is_admin=True)),
    "accounts.delete": ("6.12", lambda client: client.accounts.delete("u")),
    "videos.upload": ("6.14", lambda client: client.videos.upload(MP4)),
    "videos.list": ("6.14", lambda client: list(client.videos.list())),
    "videos.get": ("6.14", lambda client: client.videos.get("a.mp4")),
    "videos.read": ("6.14", lambda client: client.videos.read("a.mp4")),
    "videos.thumbnail": ("6.14", lambda client: client.videos.thumbnail("a.mp4")),
    "videos.metadata": ("6.14", lambda client: client.videos.metadata("a.mp4")),
    "videos.star": ("6.14", lambda client: client.videos.star("a.mp4")),
    "videos.move": ("6.14", lambda client: client.videos.move(["a.mp4"], "b")),
}


@pytest.mark.parametrize("method", NEWER)
def test_what_the_server_is_too_old_for_names_the_version_it_takes(method: str, client: InvokeAIClient) -> None:
    version, call = NEWER[method]
    with pytest.raises(UnsupportedByServerError, match=f"needs InvokeAI {version} or newer; .* has {VERSION}$"):
        call(client)


def test_videos_are_not_deleted_and_the_reason_names_the_version(client: InvokeAIClient) -> None:
    assert "needs InvokeAI 6.14 or newer" in client.videos.delete(["a.mp4"]).failed["a.mp4"]


def test_an_older_server_has_no_accounts(client: InvokeAIClient) -> None:
    assert not client.accounts.are_enabled()
