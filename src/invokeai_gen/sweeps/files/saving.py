"""Saving the images and videos of a sweep under names of the user's choice, with a manifest of what each file is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, TypeAlias

from invokeai_gen.atomic_files import remove_leftovers
from invokeai_gen.core.file_pattern import FilePattern, unique
from invokeai_gen.core.pictures import FORMATS
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.runtime.media_methods import media_suffix
from invokeai_gen.runtime.output_methods import DOWNLOADS_AT_ONCE, media
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.run_errors import DownloadError
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.files.manifest import OF_INPUT, read_manifest, rows_in, write_manifest
from invokeai_gen.sweeps.results import DELETED, SweepResult

ManifestFormat: TypeAlias = Literal["csv", "jsonl"]
Media: TypeAlias = ImageOutput | VideoOutput

DEFAULT_PATTERN: Final = "{index:04d}"
OWN_NAMES: Final = ("index", "run", "item_id", "output", "number")
"""Names that a pattern may use besides the inputs: `output` is the output's name, `number` its place in a list."""
_CONVERTED: Final = (".png", *FORMATS)
_MANIFEST_EVERY: Final = 100
"""New rows after which the manifest is written again; later, a tenth of the rows it has."""
THUMBNAILS_AT_ONCE: Final = 8


@dataclass(eq=False)
class Saver:
    """Saves results of a sweep in a folder, in any order, and writes the manifest. For its options see `Sweep.download`."""

    layout: Layout
    folder: Path
    pattern: str | None
    manifest: ManifestFormat | None
    overwrite: bool = False
    include_metadata: bool = False
    include_debug: bool = False
    kept: set[int] = field(default_factory=set, init=False)
    """Items that are no longer in the queue, but whose files exist."""

    def __post_init__(self) -> None:
        self._pattern, self._suffix = _pattern_of(self.layout.plan, self.pattern, include_debug=self.include_debug)
        self._manifest = None if self.manifest is None else self.folder / f"manifest.{self.manifest}"
        self._others: dict[str, dict[str, Any]] = {}
        """The rows of earlier calls, by file."""
        self._rows: dict[tuple[int, str, int], dict[str, Any]] = {}
        """By number of the item, name of the output, and place in the output."""
        self._written = 0
        self._failed: dict[str, str] = {}
        self._taken: set[str] = set()

    def check(self) -> None:
        """Raise `FileClashError` if two items would be saved under one name."""
        if "item_id" not in self._pattern.fields:
            cells, values = self.layout.cells, self.layout.values
            unique(self._format(index, cell.run, values(index)) for index, cell in enumerate(cells))

    def begin(self) -> None:
        """Create the folder, and read the manifest of an earlier call. Raise `FileClashError` for equal names."""
        self.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)
        if self._manifest is not None and self._manifest.exists():
            self._others = {str(row["file"]): row for row in read_manifest(self._manifest) if row.get("file")}

    async def save(self, results: Sequence[SweepResult[Any, Any]]) -> None:
        """Save the outputs of these items; `end` reports what could not be saved."""
        found = [
            (result, *medium)
            for result in results
            if not self._note_failure(result)
            for medium in media_of(result, include_debug=self.include_debug)
        ]
        for outcome in await gather_limited(lambda one: self._save(*one), found, at_once=DOWNLOADS_AT_ONCE):
            if outcome is not None:
                raise outcome
        if len(self._rows) - self._written >= max(_MANIFEST_EVERY, self._written // 10):
            await self.write_manifest()

    def _note_failure(self, result: SweepResult[Any, Any]) -> bool:
        """Return whether an item has no outputs, after noting that, or the files that an earlier call has saved."""
        self._rows.pop((result.index, "", 0), None)  # its failure, before it was sent again
        if result.error is None:
            return False
        earlier = (row for row in self._others.values() if row.get("index") == result.index)
        if result.status == DELETED and (rows := _saved_rows(self.folder, earlier, result.values)):
            self.kept.add(result.index)
            for number, row in enumerate(rows):
                self._rows[result.index, str(row.get("output")), number] = row
        else:
            self._rows[result.index, "", 0] = _row(result, str(result.error))
        return True

    async def _save(
        self, result: SweepResult[Any, Any], output: str, number: int, handle: Media, is_listed: bool
    ) -> None:
        own = {"item_id": result.item_id, "output": output, "number": number}
        path = self._format(result.index, result.run, result.values, **own)
        listed = f"-{number:03d}" if is_listed and "number" not in self._pattern.fields else ""
        suffix = self._suffix if self._suffix and isinstance(handle, ImageOutput) else media_suffix(handle)
        path = path.with_name(f"{path.name}{listed}{suffix}")
        problem = ""
        try:
            await self._fetch(path, handle)
        except (ServerError, OSError) as error:
            problem = self._failed[str(path)] = str(error)
        self._rows[result.index, output, number] = _row(result, problem, output, path, handle)

    async def write_manifest(self) -> None:
        """Write the manifest of what has been saved so far, in the order of the items; `end` reports if that fails."""
        if self._manifest is None:
            return
        self._written = len(self._rows)
        self._failed.pop(self._manifest.name, None)
        try:
            rows = [self._rows[key] for key in sorted(self._rows)]
            await unbroken(in_thread(self._write_rows, self._manifest, rows))
        except OSError as error:  # such as a full disk; the manifest of an earlier call is still there
            self._failed[self._manifest.name] = str(error)

    def _write_rows(self, manifest: Path, rows: list[dict[str, Any]]) -> None:
        ours = {row["file"] for row in rows}
        others = (row for file, row in self._others.items() if file not in ours and (self.folder / file).is_file())
        write_manifest(manifest, [*others, *rows])

    def end(self) -> list[Path]:
        """Return the files in the order of the items. Raise `DownloadError` if some could not be saved."""
        saved = [self.folder / row["file"] for _, row in sorted(self._rows.items()) if row["file"]]
        if self._failed:
            raise DownloadError(saved, self._failed)
        return saved

    def _format(self, index: int, run: int, values: Mapping[str, Any], **own: object) -> PurePosixPath:
        rest = {"output": "", "number": 0, "item_id": 0}
        return self._pattern.format({**values, **rest, **own, "index": index, "run": run})

    async def _fetch(self, path: PurePosixPath, handle: Media) -> None:
        key = unicodedata.normalize("NFC", str(path)).casefold()
        if key in self._taken:
            raise FileExistsError(f"{path}: another result has the same name; add {{index}} to the pattern")
        self._taken.add(key)
        target = self.folder / path
        is_known = self._others.get(str(path), {}).get("name") == handle.name
        if self.overwrite or not is_known or not await in_thread(target.exists):
            await handle.asave(target, overwrite=self.overwrite)
        if self.include_metadata:
            await handle.asave_metadata(target.with_suffix(".json"), overwrite=self.overwrite)


def media_of(result: SweepResult[Any, Any], *, include_debug: bool = False) -> Iterator[tuple[str, int, Media, bool]]:
    """Yield the images and videos of an item: name of the output, place in it, handle, and whether it is a list."""
    if result.error is None:
        named = result.outputs.user_outputs | (result.outputs.debug_outputs if include_debug else {})
        for output, value in named.items():
            yield from ((output, number, handle, isinstance(value, list)) for number, handle in enumerate(media(value)))


def _pattern_of(plan: WorkflowPlan, pattern: str | None, *, include_debug: bool) -> tuple[FilePattern, str]:
    """Return the pattern without its image suffix, and that suffix. With several outputs, it has their names in it."""
    pattern = pattern or DEFAULT_PATTERN
    suffix = next((known for known in _CONVERTED if pattern.lower().endswith(known)), "")
    stem = pattern[: len(pattern) - len(suffix)]
    names = {*OWN_NAMES, *(planned.name for planned in plan.inputs if planned.fed_by is None)}
    made = FilePattern(stem, names)
    outputs = [one for one in plan.outputs if one.item_type.is_media and (include_debug or one.role != "debug")]
    if len(outputs) > 1 and "output" not in made.fields:
        made = FilePattern(stem + "_{output}", names)
    return made, suffix


def _row(
    result: SweepResult[Any, Any],
    problem: str,
    output: str = "",
    path: PurePosixPath | None = None,
    handle: Media | None = None,
) -> dict[str, Any]:
    """Return a row of the manifest: what the file is, or why it is missing, and all values as people read them."""
    own = {
        "file": "" if path is None or problem else str(path),
        "index": result.index,
        "run": result.run,
        "item_id": result.item_id,
        "output": output,
        "name": "" if handle is None else handle.name,
        "server": "" if handle is None or handle.client is None else handle.client.url,
        "status": result.status,
        "seconds": result.seconds,
        "error": problem,
    }  # these are `manifest.OWN_COLUMNS`
    values = {name: _manifest_value(value) for name, value in result.values.items()}
    return own | {name + OF_INPUT if name in own else name: value for name, value in values.items()}


def saved_indexes(folder: Path, indexes: Iterable[int], layout: Layout) -> frozenset[int]:
    """Return which of these items have their files in a folder, with the same values, as its manifest says."""
    rows: dict[Any, list[dict[str, Any]]] = {}
    for row in rows_in(folder):
        rows.setdefault(row.get("index"), []).append(row)
    return frozenset(index for index in indexes if _saved_rows(folder, rows.get(index, ()), layout.values(index)))


def _saved_rows(folder: Path, rows: Iterable[dict[str, Any]], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows whose files were made with these values; an empty list if a file is missing."""
    found = [row for row in rows if row.get("file") and not row.get("error")]
    for row in found:
        stored = {name: row.get(name + OF_INPUT, row.get(name)) for name in values}
        if not (folder / str(row["file"])).is_file() or any(
            str(_manifest_value(value)) != str(stored[name]) for name, value in values.items()
        ):
            return []
    return found


def _manifest_value(value: Any) -> Any:
    """Return a value for the manifest: numbers, texts and lists of them as they are, files by their path, the rest in words."""
    items = value if isinstance(value, list) else [value]
    if all(item is None or isinstance(item, (bool, int, float, str)) for item in items):
        return value
    return value.as_posix() if isinstance(value, Path) else short_text(value)
