"""How good a map is: metrics, their intervals, calibration and the tidy table."""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """This folder and the verb share a name; calling the folder calls the verb, whichever was imported first."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from headscarp.evaluate.evaluate import evaluate

        return evaluate(*arguments, **options)


sys.modules[__name__].__class__ = _Room
