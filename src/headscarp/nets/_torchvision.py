"""Lets timm and segmentation-models-pytorch be imported beside any torch, also where torchvision does not fit it.

A CPU build of torch with torchvision from PyPI fails on import with "operator torchvision::nms does not exist". The
nets need nothing of torchvision that runs those operators, so declaring them is enough; calling them remains an error.
Refuses to hide anything else that is wrong with torchvision.
"""

import importlib
import sys
import warnings
from types import ModuleType

import torch

from headscarp.core.errors import HeadscarpError

_MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # operators vanish with the Library object that declared them


def import_with_torchvision(name: str) -> ModuleType:
    """The module of this name ("timm", "segmentation_models_pytorch"), imported once torchvision can be.

    Raises HeadscarpError, saying what to install, where the module is not there.
    """
    _mend_torchvision()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other packages about themselves
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise HeadscarpError(
            f"this net needs {name}, which cannot be imported ({error}); install it with: "
            f"pip install {name.replace('_', '-')}"
        ) from error


def _mend_torchvision() -> None:
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for schema in _MISSING:
            library.define(schema)
        _declared.append(library)
        importlib.import_module("torchvision")
