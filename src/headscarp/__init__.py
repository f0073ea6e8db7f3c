"""Headscarp: from a box on the map to landslide maps that people can act on.

The verbs are plain functions; each is imported only when it is first used, so that
`import headscarp` stays instant and needs no torch.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headscarp.core.machine import share_one_heap

# Torch asks for large pages then. Mapping small ones takes a third of a forward of a large block; no number changes.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
share_one_heap()

__version__ = "0.1.0"

_VERBS = {
    "build": "headscarp.assemble.build",
    "fit": "headscarp.train.fit",
    "predict": "headscarp.prediction.raster",
    "evaluate": "headscarp.evaluation.evaluate",
    "open_stack": "headscarp.core.stack",
    "open_bundle": "headscarp.core.bundle",
}

__all__ = ["__version__", "build", "evaluate", "fit", "open_bundle", "open_stack", "predict"]

if TYPE_CHECKING:
    from headscarp.assemble.build import build
    from headscarp.core.bundle import open_bundle
    from headscarp.core.stack import open_stack
    from headscarp.evaluation.evaluate import evaluate
    from headscarp.prediction.raster import predict
    from headscarp.train.fit import fit


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module 'headscarp' has no attribute {name!r}")
    return getattr(import_module(_VERBS[name]), name)
