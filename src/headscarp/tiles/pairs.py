"""Pairs of frames as scenarios: what a place looked like before, and after what befell it, for nets that make pictures.

Such a net is told the task and nothing else: neither when a frame was taken nor where. Refuses stacks that do not say
which task each class comes from.
"""

import numpy as np
import xarray as xr

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.domains import FRAME
from headscarp.core.errors import StackError
from headscarp.core.samples import GROUP, SAMPLE, sample_ids
from headscarp.core.scenarios import AFTER, CHANGED, FUTURE, TASK, is_scenarios
from headscarp.core.stack import band_attrs, feature_bands, fingerprint, stack_bands

_UNKNOWN = "identity"
"""Task of pairs whose class is not known: what it teaches changes no picture."""


def is_pairs(stack: xr.Dataset) -> bool:
    """Whether a stack of samples holds a frame before and one after, and says which task befell each."""
    held = SAMPLE in stack.dims and stack.sizes.get(FRAME) == 2 and TASK in stack.variables
    return held and not is_scenarios(stack)


def as_scenes(stack: xr.Dataset) -> xr.Dataset:
    """A stack of pairs in the layout of scenarios; of scenarios itself. Pixels stay where they are.

    The label `changed` is 1 all over a place, since nobody has outlined what changed there: after every task the whole
    picture may differ. Every pair is a place of its own. Pairs of unknown class have the task "identity", which teaches
    nothing. Days, season and latitude are unknown to the net. Raises StackError for another stack.
    """
    if is_scenarios(stack):
        return stack
    if not is_pairs(stack):
        raise StackError(
            "the stack holds no pairs of a picture before and one after a task; build scenarios (headscarp domains "
            "build recipes/scenarios.toml), or pairs whose recipe says which task each class comes from ([pairs] tasks)"
        )
    bands = feature_bands(stack)
    data: dict[str, xr.DataArray | tuple[tuple[str, ...], np.ndarray, dict[str, object]]] = {}
    for band in bands:
        array = stack[band.name]
        before = array.isel({FRAME: 0}) if FRAME in array.dims else array
        before.attrs = array.attrs
        data[band.name] = before
    for band in bands:
        if FRAME in stack[band.name].dims and band.kind == "continuous":
            after = stack[band.name].isel({FRAME: 1})
            after.attrs = band_attrs(Band(AFTER + band.name, "target", band.units, band.source))
            data[AFTER + band.name] = after
    count = stack.sizes[SAMPLE]
    known = np.array([str(task) for task in stack[TASK].to_numpy()], object)
    whole = np.where(known == "", UNLABELLED, 1).astype(np.uint8)[:, None, None]
    label = Band(CHANGED, "label", "1", "the whole of each place: nobody outlined what changed")
    spread = np.broadcast_to(whole, (count, stack.sizes["y"], stack.sizes["x"]))  # no memory
    data[CHANGED] = ((SAMPLE, "y", "x"), spread, band_attrs(label))
    coords: dict[str, object] = {
        name: (SAMPLE, stack[name].to_numpy()) for name in ("sample_id", "class", "part") if name in stack.variables
    }
    coords |= {
        TASK: (SAMPLE, np.where(known == "", _UNKNOWN, known)),
        FUTURE: (SAMPLE, np.zeros(count, np.int32)),
        GROUP: (SAMPLE, np.array(sample_ids(stack), object)),
        "after_days": (SAMPLE, np.full(count, np.nan, np.float32)),
        "latitude": (SAMPLE, np.full(count, np.nan)),
        "cutoff": (SAMPLE, np.full(count, np.datetime64("NaT"), "datetime64[ns]")),
    }
    attrs = {**stack.attrs, "fingerprint": f"{fingerprint(stack)} as scenarios"}
    made = xr.Dataset(data, coords=coords, attrs=attrs)
    made.attrs["bands"] = [band.name for band in stack_bands(made)]
    return made
