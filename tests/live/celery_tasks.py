"""Tasks of a Celery worker, for `test_processes.py`. Broker and results are folders, so no service is needed."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from tests import plans

app = Celery("invokeai_gen_tests")
if folder := os.environ.get("CELERY_FOLDER"):
    for name in ("queue", "control", "results"):
        Path(folder, name).mkdir(parents=True, exist_ok=True)
    app.conf.update(
        broker_url="filesystem://",
        broker_transport_options={
            "data_folder_in": f"{folder}/queue",
            "data_folder_out": f"{folder}/queue",
            "control_folder": f"{folder}/control",
        },
        result_backend=Path(folder, "results").as_uri(),
        result_accept_content=["json", "pickle"],
        result_serializer=os.environ.get("CELERY_RESULTS", "json"),
        worker_hijack_root_logger=False,
    )


def run_width(width: int) -> int:
    """Run one row of a table: widths below 1 fail on the server."""
    return plans.picture().run(plans.PictureParams(width=width), timeout=120).picture.width


task = app.task(run_width)
