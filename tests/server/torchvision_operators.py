"""Copied into a server's environment where torchvision's compiled part does not load beside the torch that is there.

The published torchvision is compiled for one build of torch. Beside another (a CPU build, say) its library is
skipped and ``import torchvision`` fails at the first operator that nobody declared. InvokeAI never calls
these operators, so that declaring them is enough. It waits for the import instead of importing torch at once,
because a ``.pth`` file runs at every start of that Python, pip's too.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # torch takes a declaration back when its Library object is collected


class _DeclareBeforeTorchvision(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /) -> None:
        if fullname == "torchvision" and not _declared:
            library = importlib.import_module("torch").library.Library("torchvision", "DEF")
            _declared.append(library)
            for operator in _OPERATORS:
                library.define(operator)


sys.meta_path.insert(0, _DeclareBeforeTorchvision())
