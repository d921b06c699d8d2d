"""The tiny models of a server: made once per machine, installed in place into each fresh root."""

import hashlib
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from tests.server import tiny_models
from tests.server.api import call
from tests.server.cache import MARKER, build_once, cache_folder
from tests.server.provision import Steps, provision, venv_python
from tests.server.versions import DEFAULT_VERSION, pins

INSTALL_DEADLINE = 120.0


class ModelInstallError(RuntimeError):
    """InvokeAI did not take one of the tiny models."""


@dataclass(frozen=True)
class InstalledModel:
    """A model as the server knows it. The key differs from root to root, the hash does not."""

    key: str
    hash: str
    name: str
    base: str
    type: str


def make_models(version: str = DEFAULT_VERSION) -> Path:
    """The folder of tiny models for an InvokeAI release, made now if this machine does not have it yet."""
    script = Path(tiny_models.__file__)
    digest = hashlib.sha256(script.read_bytes() + pins(version).digest.encode()).hexdigest()[:10]
    python = venv_python(provision(version))

    def build(folder: Path) -> None:
        steps = Steps(folder.with_name(f"{folder.name}.log"), f"Making tiny models in {folder} (once per machine)")
        steps.run("making tiny models", [str(python), "-P", str(script), str(folder)])
        steps.done()

    return build_once(cache_folder() / f"models-{version}-{digest}", build)


def install_models(url: str, folder: Path, token: str | None = None) -> list[InstalledModel]:
    """Have the server at ``url`` install everything in ``folder``, where it lies; return when it has."""
    install = f"{url}/api/v2/models/install"
    waiting: dict[int, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name != MARKER:
            query = urllib.parse.urlencode({"source": str(path), "inplace": "true"})
            waiting[call("POST", f"{install}?{query}", {}, token=token)["id"]] = path.name
    installed: list[InstalledModel] = []
    end = time.monotonic() + INSTALL_DEADLINE
    while waiting:
        if time.monotonic() > end:
            raise ModelInstallError(f"Not installed after {INSTALL_DEADLINE:.0f} s: {', '.join(waiting.values())}")
        for job in call("GET", install, token=token):
            if job["id"] not in waiting or job["status"] not in ("completed", "error", "cancelled"):
                continue
            name = waiting.pop(job["id"])
            if job["status"] != "completed":
                raise ModelInstallError(f"{name}: {job['status']}: {job.get('error_reason')}: {job.get('error')}")
            config = job["config_out"]
            installed.append(InstalledModel(**{k: config[k] for k in InstalledModel.__dataclass_fields__}))
        time.sleep(0.05)
    return sorted(installed, key=lambda model: model.name)
