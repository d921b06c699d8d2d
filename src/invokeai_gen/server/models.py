"""The models on a server: found, installed, changed and deleted."""

from __future__ import annotations

import asyncio
import builtins
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, ignored, list_of, mapping, optional, text
from invokeai_gen.server.credentials import Secret
from invokeai_gen.server.facades import AsyncPart, Facade, facade
from invokeai_gen.server.http import segment
from invokeai_gen.server.records import ServerRecord
from invokeai_gen.server.removal import delete_thing
from invokeai_gen.server.run_errors import InstallError

_ROOT = "/api/v2/models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(ServerRecord):
    """An installed model."""

    key: str
    """Unique on this server only."""
    hash: str
    """Hash of the model's files: the same on every server."""
    name: str
    base: str
    """`sd-1`, `sdxl`, `flux` …"""
    type: str
    """`main`, `vae`, `lora` …"""
    variant: str | None = None
    format: str | None = None
    description: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.base} {self.type})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel(ServerRecord):
    """A model file or folder on the server's disk, which may not be installed yet."""

    path: str
    is_installed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallJob(ServerRecord):
    """An install of a model: waiting, under way or ended."""

    id: int
    status: str = "waiting"
    """`waiting`, `downloading`, `downloads_done`, `running`, `paused`, `completed`, `error` or `cancelled`."""
    bytes: int = 0
    """Downloaded so far."""
    total_bytes: int = 0
    """To download in all; 0 while that is not known, and for a local file."""
    error: str | None = None
    error_reason: str | None = None
    config_out: Mapping[str, Any] | None = field(default=None, repr=False)
    """The installed model, as the server's JSON describes it, once it is completed."""

    @property
    def is_final(self) -> bool:
        """Whether the install has ended, one way or another."""
        return self.status in ("completed", "error", "cancelled")

    @property
    def model(self) -> Model | None:
        """The installed model, once the install is completed."""
        return None if self.config_out is None or self.status != "completed" else Model.of(self.config_out)


class AsyncModels(AsyncPart):
    """The models of one server. Installing and changing them may be reserved for administrators."""

    _memory: tuple[float, builtins.list[Model]] | None = None

    async def list(self, *, base: str | None = None, type: str | None = None) -> builtins.list[Model]:
        """Return all installed models, or those of one base (`sdxl` …) and type (`main` …)."""
        params = {"base_models": base, "model_type": type}
        return await self._transport.get(f"{_ROOT}/", params, read=at("models", list_of(Model.of)))

    async def known(self) -> builtins.list[Model]:
        """Return all installed models from a list that is at most `MODELS_MAX_AGE` seconds old."""
        if self._memory is None or time.monotonic() - self._memory[0] > constants.MODELS_MAX_AGE:
            return await self.sync()
        return self._memory[1]

    async def sync(self) -> builtins.list[Model]:
        """Return all installed models as they are now, and keep them for `known`."""
        self._memory = time.monotonic(), await self.list()
        return self._memory[1]

    async def get(self, key: str) -> Model:
        """Return the model of that key. Raises `NotFoundError`."""
        return await self._transport.get(_path(key), read=Model.of)

    async def find(self, name: str, *, base: str | None = None, type: str | None = None) -> builtins.list[Model]:
        """Return the models with exactly this name: none, one or several."""
        return [model for model in await self.list(base=base, type=type) if model.name == name]

    async def missing(self) -> builtins.list[Model]:
        """Return the installed models whose files are no longer on the server's disk."""
        return await self._transport.get(f"{_ROOT}/missing", read=at("models", list_of(Model.of)))

    async def scan(self, folder: str | os.PathLike[str]) -> builtins.list[FoundModel]:
        """Return the models in a folder on the server's disk, installed or not. Raises `BadRequestError`."""
        return await self._transport.get(
            f"{_ROOT}/scan_folder", {"scan_path": os.fspath(folder)}, read=list_of(FoundModel.of)
        )

    async def hugging_face_files(self, repo_id: str) -> builtins.list[str]:
        """Return the URLs of the single files that can be installed from a Hugging Face repository."""
        read = at("urls", optional(list_of(text)))
        params = {"hugging_face_repo": repo_id}
        return await self._transport.get(f"{_ROOT}/hugging_face", params, read=read) or []

    async def install(
        self,
        source: str | os.PathLike[str],
        *,
        inplace: bool = False,
        access_token: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> InstallJob:
        """Begin to install a model, and return the install, which goes on; see `wait_for_install`.

        `source` is a path on the server's disk, a URL, or a Hugging Face id such as `owner/name`. `inplace` leaves a
        local file where it is. `access_token` is for the site of a URL. `config` sets properties that the server would
        find out itself, such as `name`, `description`, `base` or `type`. Never sent twice after a lost answer.
        """
        access_token = Secret(access_token) if access_token else None
        params = {"source": os.fspath(source), "inplace": inplace, "access_token": access_token}
        body = dict(config or {})
        return await self._transport.send("POST", f"{_ROOT}/install", params=params, json=body, read=InstallJob.of)

    async def installs(self) -> builtins.list[InstallJob]:
        """Return all installs since the server was started, ended ones included, until `prune_installs`."""
        return await self._transport.get(f"{_ROOT}/install", read=list_of(InstallJob.of))

    async def get_install(self, install_id: int) -> InstallJob:
        """Return an install as it is now. Raises `NotFoundError`."""
        return await self._transport.get(f"{_ROOT}/install/{install_id}", read=InstallJob.of)

    async def wait_for_install(
        self,
        install: InstallJob | int,
        *,
        timeout: float | None = None,
        on_progress: Callable[[InstallJob], object] | None = None,
    ) -> Model:
        """Wait until a model is installed, and return it.

        `on_progress` is called with the install whenever its status or number of bytes has changed. Raises
        `InstallError` if the install fails, is cancelled, or has not ended after `timeout` seconds; it goes on then.
        """
        install_id = install if isinstance(install, int) else install.id
        clock = asyncio.get_running_loop().time
        end = clock() + (math.inf if timeout is None else timeout)
        seen: InstallJob | None = None
        while True:
            job = await self.get_install(install_id)
            if on_progress is not None and job != seen:
                on_progress(job)
            seen = job
            if job.model is not None:
                self._memory = None
                return job.model
            if job.is_final:
                reason = job.error_reason or job.error or "no reason given"
                raise InstallError(f"install {install_id} ended with status {job.status!r}: {reason}", install_id)
            if clock() >= end:
                raise InstallError(f"install {install_id} is still {job.status!r} after {timeout:g} s", install_id)
            await asyncio.sleep(constants.INSTALL_POLL)

    async def cancel_install(self, install_id: int) -> None:
        """Cancel an install. Raises `NotFoundError`."""
        await self._transport.send("DELETE", f"{_ROOT}/install/{install_id}", read=ignored)

    async def prune_installs(self) -> None:
        """Forget all installs that have ended. The installed models stay."""
        await self._transport.send("DELETE", f"{_ROOT}/install", read=ignored)

    async def convert(self, key: str) -> Model:
        """Convert a single-file model to the diffusers format, in its place. Raises `NotFoundError`."""
        self._memory = None
        return await self._transport.send(
            "PUT", f"{_ROOT}/convert/{segment(key)}", timeout=constants.ENQUEUE_TIMEOUT, repeatable=False, read=Model.of
        )

    async def update(self, key: str, /, **changes: Any) -> Model:
        """Change properties of a model, such as `name`, `description`, `trigger_phrases` or `default_settings`.

        Raises `NotFoundError`, and `RejectedError` for values that the server does not accept.
        """
        self._memory = None
        return await self._transport.send("PATCH", _path(key), json=changes, read=Model.of)

    async def delete(self, key: str) -> None:
        """Delete the model with this key, and its files unless it was installed in place.

        Raises `NotFoundError`.
        """
        self._memory = None
        await delete_thing(self._transport, _path(key), read=ignored, gone=None)

    async def stats(self) -> dict[str, Any] | None:
        """Return how the server's cache of loaded models is used; `None` before the first model was loaded."""
        return await self._transport.get(f"{_ROOT}/stats", read=optional(mapping))

    async def empty_cache(self) -> None:
        """Unload all models from the server's memory. Files stay."""
        await self._transport.send("POST", f"{_ROOT}/empty_model_cache", repeatable=True, read=ignored)


class Models(Facade[AsyncModels]):
    """The models of one server. Installing and changing them may be reserved for administrators."""

    list = facade(AsyncModels.list)
    get = facade(AsyncModels.get)
    find = facade(AsyncModels.find)
    known = facade(AsyncModels.known)
    sync = facade(AsyncModels.sync)
    missing = facade(AsyncModels.missing)
    scan = facade(AsyncModels.scan)
    hugging_face_files = facade(AsyncModels.hugging_face_files)
    install = facade(AsyncModels.install)
    installs = facade(AsyncModels.installs)
    get_install = facade(AsyncModels.get_install)
    wait_for_install = facade(AsyncModels.wait_for_install)
    cancel_install = facade(AsyncModels.cancel_install)
    prune_installs = facade(AsyncModels.prune_installs)
    convert = facade(AsyncModels.convert)
    update = facade(AsyncModels.update)
    delete = facade(AsyncModels.delete)
    stats = facade(AsyncModels.stats)
    empty_cache = facade(AsyncModels.empty_cache)


def _path(key: str) -> str:
    return f"{_ROOT}/i/{segment(key)}"
