"""A Celery worker for `test_processes.py`. Its broker and its results are folders, so no service is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

from tests import plans

ROW = "run_width"
"""Name of the task."""


def run_width(width: int) -> int:
    """Run one row of a table: widths below 1 fail on the server."""
    return plans.picture().run(plans.PictureParams(width=width), timeout=120).picture.width


def app_in(folder: str | Path, results: str) -> Any:
    """Return an app with its broker in that folder, and results in a format: `json` or `pickle`."""
    for name in ("queue", "control", "results"):
        Path(folder, name).mkdir(parents=True, exist_ok=True)
    made = Celery("tests")
    made.conf.update(
        broker_url="filesystem://",
        broker_transport_options={
            "data_folder_in": f"{folder}/queue",
            "data_folder_out": f"{folder}/queue",
            "control_folder": f"{folder}/control",
        },
        result_backend=Path(folder, "results").as_uri(),
        result_serializer=results,
        result_accept_content=["json", "pickle"],
    )
    made.task(run_width, name=ROW)
    return made


if "CELERY_FOLDER" in os.environ:  # in the worker
    app = app_in(os.environ["CELERY_FOLDER"], os.environ["CELERY_RESULTS"])
