"""The version of this package; the build reads it too."""

from typing import Final

__version__: Final = "0.1.0"
