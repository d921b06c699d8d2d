"""Results that stay on the server: what is known of them, without anything to download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LatentsOutput:
    """Latents that a node returned. They stay on the server, for its own nodes: there is nothing to download."""

    name: str
    width: int
    """Pixels of the image that they represent."""
    height: int
    """Pixels of the image that they represent."""
    seed: int | None = None
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class MaskOutput:
    """A mask that a node returned. It stays on the server, for its own nodes: there is nothing to download."""

    name: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class ConditioningOutput:
    """Conditioning that a node returned. It stays on the server, for its own nodes: there is nothing to download."""

    name: str
    node_id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Everything the node returned, as JSON."""
