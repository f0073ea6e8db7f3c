"""A bundle on a stack of any size gives a map: blocks in constant memory, one Cloud-Optimized GeoTIFF at the end.

The room has the name of its verb: `headscarp.predict` is this package however it was imported, and calling it is
calling `headscarp.predict.raster.predict`.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Path:
        from headscarp.predict.raster import predict

        return predict(*args, **options)


sys.modules[__name__].__class__ = _Verb
