"""A stack over time to one image of a period: clouds hidden, looks put together, the share of clear looks beside it.

Lazy where the stack is lazy, block by block as its chunks lie in (y, x), all looks of a block at once. Picks no period
itself: cut the stack with `stack.sel(time=slice(first, last))` before.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.core.stack import band_attrs, stack_bands
from headscarp.imagery.clouds import clear_looks, hide
from headscarp.imagery.composites import COMPOSITES, valid_share

VALID_SHARE = "valid_share"


def composite_stack(
    stack: xr.Dataset,
    rule: str = "median",
    *,
    quality: str | None = "quality",
    clear: Collection[str] | None = None,
    grow_px: int = 0,
    **options: Any,
) -> xr.Dataset:
    """The stack without time: every continuous band over time put together by a rule of COMPOSITES.

    quality: the categorical band that says what each look saw, None where there is none; clear and grow_px as in
    `clear_looks`. options: those of the rule, such as percent. Bands without time stay; categories over time go.
    Returns a stack with the band "valid_share" added: the share of looks that are clear and have all bands, 0 to 1.
    Raises RecipeError for an unknown rule, StackError for a stack without looks.
    """
    if rule not in COMPOSITES:
        raise RecipeError(f"composite {rule!r} is unknown; choose one of {', '.join(COMPOSITES)}")
    bands = [b for b in stack_bands(stack) if b.kind == "continuous" and "time" in stack[b.name].dims]
    if not bands:
        raise StackError("the stack has no continuous band over time; a composite needs at least one look of one band")
    if quality is not None and quality not in stack:
        raise StackError(f"the stack has no band {quality!r} that says what is clear; name it, or say quality = None")
    marks = None if quality is None else next(b for b in stack_bands(stack) if b.name == quality)
    arrays = [stack[band.name].transpose("time", "y", "x").data for band in bands]
    seen = None if marks is None else _clear(stack[marks.name].transpose("time", "y", "x").data, marks, clear, grow_px)
    planes = _planes(arrays, seen, rule, options)

    first, last = (np.datetime_as_string(t, unit="D") for t in stack["time"].to_numpy()[[0, -1]])
    period = f"{rule} of {stack.sizes['time']} looks, {first} to {last}"
    made = [Band(b.name, "continuous", b.units, f"{period}, of {b.source}") for b in bands]
    made.append(Band(VALID_SHARE, "continuous", "1", f"share of clear looks among {period.partition(' of ')[2]}"))
    timeless = stack.drop_vars([n for n, a in stack.variables.items() if "time" in a.dims])
    return timeless.assign({b.name: (("y", "x"), planes[i], band_attrs(b)) for i, b in enumerate(made)})


def _clear(codes: Any, quality: Band, clear: Collection[str] | None, grow_px: int) -> Any:
    """(T, y, x) bool, lazy where the codes are. Known classes are checked at once, before anything is read."""
    find = partial(clear_looks, quality=quality, clear=clear, grow_px=grow_px)
    find(np.zeros((1, 1), np.uint8))
    if not _is_lazy(codes):
        return find(codes)
    depth = {0: 0, 1: grow_px, 2: grow_px}
    return codes.map_overlap(find, depth=depth, boundary="none", dtype=bool, meta=np.empty((0, 0, 0), bool))


def _planes(arrays: list[Any], seen: Any, rule: str, options: dict[str, Any]) -> Any:
    """(bands + 1, y, x), lazy where the arrays are."""
    given = arrays if seen is None else [*arrays, seen]
    if not _is_lazy(arrays[0]):
        return _compose(*given, masked=seen is not None, rule=rule, options=options)
    import dask.array as da

    cut = [array.rechunk({0: -1}) for array in given]
    cut = [array.rechunk({1: cut[0].chunks[1], 2: cut[0].chunks[2]}) for array in cut]
    return da.map_blocks(
        _compose,
        *cut,
        masked=seen is not None,
        rule=rule,
        options=options,
        chunks=((len(arrays) + 1,), *cut[0].chunks[1:]),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )


def _compose(*given: NDArray[Any], masked: bool, rule: str, options: dict[str, Any]) -> NDArray[np.float32]:
    frames = np.stack(given[:-1] if masked else given, axis=1)  # (T, B, y, x)
    if masked:
        frames = hide(frames, given[-1])
    return np.concatenate([COMPOSITES[rule](frames, **options), valid_share(frames)[None]])


def _is_lazy(array: Any) -> bool:
    return not isinstance(array, np.ndarray)
