"""What the command line of `run` says besides the values of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import click

_SAVING: Final = {
    "output": "--output",
    "pattern": "--pattern",
    "manifest": "--manifest",
    "contact_sheet": "--contact-sheet",
    "gallery": "--gallery",
    "intermediate": "--intermediate",
    "metadata": "--metadata",
}
"""Options that need saved results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """The options of one call of `run`, inputs excepted."""

    assignments: tuple[str, ...]
    params: Path | None
    interactive: bool
    csv: Path | None
    jsonl: Path | None
    ignore_extra_columns: bool
    each: tuple[str, ...]
    product: tuple[str, ...]
    zipped: tuple[str, ...]
    replaced: tuple[str, ...]
    dynamic: tuple[str, ...]
    max_prompts: int
    runs: int
    retries: int
    errors: Literal["raise", "collect"]
    sweep_file: Path | None
    resume: Path | None
    output: Path | None
    pattern: str | None
    manifest: Literal["csv", "jsonl", "none"] | None
    contact_sheet: Path | None
    gallery: Path | None
    intermediate: bool
    metadata: bool
    overwrite: bool
    no_save: bool
    as_json: bool
    events: bool
    servers: tuple[str, ...]
    openapi: Path | None
    timeout: float | None
    auto_board: str | None
    create_boards: bool
    cleanup: tuple[Literal["inputs", "outputs", "boards", "queue-items"], ...]
    dry_run: bool
    quiet: bool
    verbose: bool

    @property
    def is_sweep(self) -> bool:
        """Whether anything was asked for that only many runs have."""
        varies = self.csv or self.jsonl or self.each or self.product or self.zipped or self.replaced or self.dynamic
        is_kept = self.sweep_file or self.pattern or self.manifest or self.contact_sheet or self.gallery
        return bool(varies or is_kept or self.runs > 1 or self.retries or len(self.servers) > 1)

    @property
    def server(self) -> str | None:
        """The first server: the one whose node types and library are used."""
        return self.servers[0] if self.servers else None

    def check(self, context: click.Context, inputs: Sequence[str]) -> None:
        """Raise `UsageError` for options that exclude each other; `inputs` are the options of inputs that were given."""
        if self.csv and self.jsonl:
            raise click.UsageError("--csv and --jsonl exclude each other", context)
        if self.ignore_extra_columns and not (self.csv or self.jsonl):
            raise click.UsageError("--ignore-extra-columns needs --csv or --jsonl", context)
        if self.no_save:
            for name, option in _SAVING.items():
                if getattr(self, name):
                    raise click.UsageError(f"--no-save and {option} exclude each other", context)
            if "outputs" in self.cleanup:
                raise click.UsageError(
                    "--no-save and --cleanup outputs exclude each other: nothing would be left", context
                )
        if self.resume is not None and (given := [*self._fixed_by_resume(), *inputs]):
            raise click.UsageError(f"--resume continues as its file says: leave out {', '.join(given)}", context)

    def how_to_resume(self, name: str, file: Path, folder: Path, servers: Iterable[str]) -> str:
        """Return the command that continues the sweep of `file`, with every option of this call that still matters."""
        import shlex

        words = ["invokeai-gen", "run", name, "--resume", str(file)]
        words += ["--no-save"] if self.no_save else ["-o", str(folder)]
        for option, value in (
            ("--pattern", self.pattern),
            ("--manifest", self.manifest),
            ("--contact-sheet", self.contact_sheet),
            ("--gallery", self.gallery),
            ("--timeout", None if self.timeout is None else f"{self.timeout:g}"),
            ("--errors", "raise" if self.errors == "raise" else None),
            ("--openapi", self.openapi),
        ):
            words += [option, str(value)] if value else []
        words += [word for target in self.cleanup for word in ("--cleanup", target)]
        flags = {
            "--intermediate": self.intermediate, "--metadata": self.metadata, "--overwrite": self.overwrite, "--json": self.as_json, "--quiet": self.quiet, "--verbose": self.verbose,
        }  # fmt: skip
        words += [flag for flag, is_set in flags.items() if is_set]
        return shlex.join([*words, *(word for server in servers for word in ("--server", server))])

    def _fixed_by_resume(self) -> list[str]:
        """Return the options that --resume does not go with, because its file has their values."""
        fixed = {
            "--csv": self.csv, "--jsonl": self.jsonl, "--each": self.each, "--product": self.product,
            "--zip": self.zipped, "--replace": self.replaced, "--dynamic": self.dynamic, "--runs": self.runs > 1,
            "--retries": self.retries, "--set": self.assignments, "--params": self.params,
            "--file": self.sweep_file, "--auto-board": self.auto_board, "--create-boards": self.create_boards,
            "--dry-run": self.dry_run, "--interactive": self.interactive,
        }  # fmt: skip
        return [option for option, value in fixed.items() if value]
