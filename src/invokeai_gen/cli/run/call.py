"""What the command line of `run` says beside the values of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the command line says beside the values of inputs."""

    assignments: tuple[str, ...]
    params: Path | None
    csv: Path | None
    jsonl: Path | None
    each: tuple[str, ...]
    product: tuple[str, ...]
    zipped: tuple[str, ...]
    runs: int
    errors: Literal["raise", "collect"]
    sweep_file: Path | None
    resume: Path | None
    output: Path | None
    pattern: str | None
    manifest: Literal["csv", "jsonl", "none"] | None
    contact_sheet: Path | None
    overwrite: bool
    no_save: bool
    as_json: bool
    server: str | None
    openapi: Path | None
    timeout: float | None
    auto_board: str | None
    create_boards: bool
    cleanup: tuple[Literal["inputs", "boards", "queue-items"], ...]
    dry_run: bool
    quiet: bool

    @property
    def is_sweep(self) -> bool:
        """Whether anything is asked for that only a sweep has."""
        varies = self.csv or self.jsonl or self.each or self.product or self.zipped or self.runs > 1
        return bool(varies or self.sweep_file or self.pattern or self.manifest or self.contact_sheet)

    def check(self, ctx: click.Context, inputs: Sequence[str]) -> None:
        """Raises `UsageError` for options that exclude each other; `inputs` are those of inputs that are given."""
        if self.csv and self.jsonl:
            raise click.UsageError("--csv and --jsonl exclude each other", ctx)
        if self.no_save:
            for name, option in (
                ("output", "--output"),
                ("pattern", "--pattern"),
                ("manifest", "--manifest"),
                ("contact_sheet", "--contact-sheet"),
            ):
                if getattr(self, name):
                    raise click.UsageError(f"--no-save and {option} exclude each other", ctx)
        if self.resume is None:
            return
        remembered = {
            "--csv": self.csv, "--jsonl": self.jsonl, "--each": self.each, "--product": self.product,
            "--zip": self.zipped, "--runs": self.runs > 1, "--set": self.assignments, "--params": self.params,
            "--file": self.sweep_file, "--auto-board": self.auto_board, "--create-boards": self.create_boards,
            "--dry-run": self.dry_run,
        }  # fmt: skip
        if named := [*(option for option, value in remembered.items() if value), *inputs]:
            raise click.UsageError(f"--resume goes on with what its file says: leave out {', '.join(named)}", ctx)
