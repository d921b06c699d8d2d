"""Which InvokeAI releases the tests can run, and what exactly each one's environment holds."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DEFAULT_VERSION = "6.14.2"

SUPPORTED_PYTHONS = ((3, 11), (3, 12))
"""What InvokeAI itself asks for (>=3.11, <3.13); the first is the one the constraints were made on."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Pins:
    """The complete set of packages for one InvokeAI release."""

    version: str
    file: Path
    digest: str
    """Changes whenever a pin changes, so that an environment made from older pins is not mistaken for this one."""

    def requirement(self, name: str) -> str:
        """The pinned requirement of one package, e.g. ``torch==2.13.0``."""
        for line in self.file.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}=="):
                return line
        raise LookupError(f"{self.file.name} pins no {name}")


def known_versions() -> list[str]:
    """The InvokeAI releases for which this folder holds constraints."""
    return sorted(path.stem.removeprefix("constraints-") for path in _HERE.glob("constraints-*.txt"))


@cache
def pins(version: str = DEFAULT_VERSION) -> Pins:
    """The pins of one release; ``ValueError`` for a release nobody has pinned yet."""
    if version not in known_versions():
        raise ValueError(f"No pins for InvokeAI {version}; there are pins for {', '.join(known_versions())}.")
    file = _HERE / f"constraints-{version}.txt"
    return Pins(version, file, hashlib.sha256(file.read_bytes()).hexdigest()[:10])
