"""Clear looks: from the classes of a quality band to which cells a frame shows the ground in.

Works on codes and the class table of a Band; knows the classes that Landsat's and Sentinel-2's masks name (LOOKS) and
takes others by name. Refuses to guess: a class that it does not know has to be named as clear or not. It reads no
files and changes no reflectance: `hide` sets what is not clear to NaN.
"""

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from headscarp.core.band import MAX_CLASSES, NO_VALUE, Band
from headscarp.core.errors import RecipeError, StackError

Look = Literal["clear", "covered", "clouded"]
"""clear: the ground is seen. covered: it is not, but what is beside it is (snow, defects, terrain shadow). clouded:
it is not, and what is beside may be hazy or dim too: growth starts here."""

LOOKS: dict[str, Look] = {
    # Landsat Collection 2, QA_PIXEL
    "clear": "clear",
    "water": "clear",
    "snow": "covered",
    "cloud": "clouded",
    "dilated cloud": "clouded",
    "cloud shadow": "clouded",
    "cirrus": "clouded",
    # Sentinel-2 L2A, scene classification
    "vegetation": "clear",
    "not vegetated": "clear",
    "bare soil": "clear",
    "unclassified": "clear",
    "snow or ice": "covered",
    "saturated or defective": "covered",
    "dark area": "covered",
    "terrain shadow": "covered",
    "cloud medium probability": "clouded",
    "cloud high probability": "clouded",
    "thin cirrus": "clouded",
}


def clear_looks(
    codes: NDArray[np.uint8], quality: Band, *, clear: Collection[str] | None = None, grow_px: int = 0
) -> NDArray[np.bool_]:
    """Where the ground is seen: cells of a clear class that are not near a cloud or its shadow.

    codes: (..., y, x) uint8 classes of the band `quality`, 0 = no value (never clear, and nothing grows from it).
    clear: names of the classes that count as clear; by default those that LOOKS calls clear. Everything else then is
    not clear; growth starts from all of it but what LOOKS calls covered. grow_px: cells within a disc of this radius
    (centres within grow_px + 1/2) around clouded cells are not clear either; a block needs as much context on each
    side to come out as it does in the whole.
    Returns bool of the same shape. Raises StackError where the band has classes that neither `clear` nor LOOKS names,
    RecipeError where `clear` names classes that the band does not have.
    """
    looks = _looks(quality, clear)
    seen = np.zeros(256, bool)
    grows = np.zeros(256, bool)
    for code, look in enumerate(looks, start=NO_VALUE + 1):
        seen[code], grows[code] = look == "clear", look == "clouded"
    found = seen[_checked(codes, quality)]
    if grow_px < 0 or int(grow_px) != grow_px:
        raise RecipeError(f"grow_px is {grow_px}; a whole number of cells, 0 or more, is needed")
    if grow_px:
        for frame in np.ndindex(codes.shape[:-2]):
            found[frame] &= ~_grown(grows[codes[frame]], int(grow_px))
    return found


def hide(values: NDArray[np.float32], clear: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The values where the look is clear, NaN elsewhere.

    values: (T, y, x), or (T, B, y, x) with `clear` (T, y, x) for all bands. Returns float32 of the shape of `values`.
    """
    mask = clear if values.ndim == clear.ndim else clear[:, None]
    return np.where(mask, values, np.float32(np.nan)).astype(np.float32, copy=False)


def _looks(quality: Band, clear: Collection[str] | None) -> list[Look]:
    if quality.kind != "categorical":
        raise StackError(f"band {quality.name!r} is {quality.kind}; clear looks need the categorical quality band")
    names = [_plain(name) for name in quality.classes]
    if clear is not None:
        wanted = [_plain(name) for name in clear]
        absent = [name for name in wanted if name not in names]
        if absent or not wanted:
            raise RecipeError(
                f"clear names {', '.join(absent) or 'no class'}; band {quality.name!r} has: "
                f"{', '.join(quality.classes)}"
            )
        return ["clear" if n in wanted else "covered" if LOOKS.get(n) == "covered" else "clouded" for n in names]
    unknown = [name for name in names if name not in LOOKS]
    if unknown:
        raise StackError(
            f"band {quality.name!r} has classes that are neither known as clear nor as clouded: {', '.join(unknown)}; "
            f"say which of its classes are clear: clear = [...] out of {', '.join(quality.classes)}"
        )
    return [LOOKS[name] for name in names]


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _checked(codes: NDArray[Any], quality: Band) -> NDArray[np.uint8]:
    if codes.dtype != np.uint8:
        raise StackError(f"the codes of {quality.name!r} are {codes.dtype}; needed: uint8, as categorical bands are")
    highest = int(codes.max(initial=0))
    if highest > min(len(quality.classes), MAX_CLASSES):
        raise StackError(f"band {quality.name!r} holds code {highest}, but has {len(quality.classes)} classes")
    return codes


def _grown(clouded: NDArray[np.bool_], grow_px: int) -> NDArray[np.bool_]:
    """Cells whose nearest clouded cell is within grow_px + 1/2; squared distances are whole, so there are no ties."""
    if not clouded.any():
        return clouded
    near: NDArray[np.bool_] = distance_transform_edt(~clouded) < grow_px + 0.5
    return near
