"""Handles on what a run left on the server: images and videos.

A handle has a name and a client; nothing is downloaded before it is used. `media_methods` has what can be done then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from invokeai_gen.core.values import ImageRef, VideoRef
from invokeai_gen.loading import later

if TYPE_CHECKING:
    from invokeai_gen.runtime.media_methods import ImageMethods, VideoMethods
    from invokeai_gen.server.client import AsyncInvokeAIClient
else:
    ImageMethods = VideoMethods = object

_METHODS: Final = "invokeai_gen.runtime.media_methods"
_COMMON: Final = (
    "stored size bytes metadata save save_metadata download info"
    " abytes ametadata asave asave_metadata adownload ainfo _write"
)


@later(_METHODS, "ImageMethods", f"{_COMMON} pil as_format seed board apil aas_format aseed aboard _read _repr_png_")
@dataclass(frozen=True, slots=True)
class ImageOutput(ImageRef, ImageMethods):
    """An image that a node returned. It may be given as the value of an image input of another workflow."""

    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    node_id: str = ""
    """Id of the node in the workflow that returned it."""
    client: AsyncInvokeAIClient | None = field(default=None, repr=False, compare=False)


@later(_METHODS, "VideoMethods", _COMMON)
@dataclass(frozen=True, slots=True)
class VideoOutput(VideoRef, VideoMethods):
    """A video that a node returned. It may be given as the value of a video input of another workflow."""

    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    node_id: str = ""
    """Id of the node in the workflow that returned it."""
    client: AsyncInvokeAIClient | None = field(default=None, repr=False, compare=False)
