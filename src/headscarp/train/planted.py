"""The risk of simulated places as a bundle sees it, as they are and with trees on their open ground: what plans of
planting are ranked by when they are judged.

Nets of single pictures read the picture before; a forecast reads the frames before and judges them all as they would
be, as `headscarp planting` has it. Refuses forecasts on places without frames, or of another size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.bundle import Bundle
from headscarp.core.calibration import Calibration, calibration_from_json
from headscarp.core.domains import REFLECTANCE
from headscarp.core.errors import BundleError, StackError
from headscarp.core.scenarios import AFTER, TASK
from headscarp.core.stack import band_attrs, stack_bands
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.net import Net
from headscarp.prediction.reforest import FEWEST_WOODS_PX, look_of_woods, with_trees, woods_and_open
from headscarp.sources.world.domains import slides
from headscarp.tiles.fits import check_fits
from headscarp.tiles.reader import TileReader
from headscarp.tiles.sampling import batches
from headscarp.tiles.scenes import picture_before
from headscarp.tiles.tiling import whole_tile
from headscarp.train.cases import Case
from headscarp.train.simulated import SimulatedPlaces

_BATCH = 16

Floats = NDArray[np.float64]


def risks_of(
    bundle: Bundle, stack: xr.Dataset, places: SimulatedPlaces, cases: Sequence[Case]
) -> dict[str, tuple[Floats, Floats]]:
    """By place, (y, x) risk as the net sees it, and how much less it would be with trees on all open ground.

    Of a forecast the risk of a pixel is the hazard of the longest horizon times where it would slide. Raises
    BundleError, StackError.
    """
    net = net_from_bundle(bundle)
    if NETS[bundle.net].judges_places:
        stack = _as_series(bundle, stack)
    bands = check_fits(bundle, stack).bands
    names = [band.name for band in bands]
    rows, cols = stack.sizes["y"], stack.sizes["x"]
    tiles = [whole_tile((rows, cols), net.align, sample=case.samples[0], name=case.place) for case in cases]
    usual, calibration = _usual_woods(stack, cases, names), calibration_from_json(bundle.calibration)
    made: dict[str, tuple[Floats, Floats]] = {}
    with torch.inference_mode():
        for batch in batches(TileReader(stack, bands), tiles, batch_size=_BATCH, workers=2):
            after = batch.x.clone()
            for i, tile in enumerate(batch.tiles):
                planes = _planes(names, batch.x[i].numpy())
                woods, _ = woods_and_open(planes)
                look = look_of_woods(planes, woods) if woods.sum() >= FEWEST_WOODS_PX else usual
                open_ = np.zeros(batch.x.shape[-2:], np.bool_)
                open_[:rows, :cols] = slides.open_ground(places.place(tile.id))
                changed = with_trees(planes, open_, look)
                after[i] = torch.from_numpy(np.stack([changed[name] for name in names], axis=-3))
            both = zip(*(_risk(net, calibration, b, rows, cols) for b in (batch, replace(batch, x=after))), strict=True)
            for tile, (before, then) in zip(batch.tiles, both, strict=True):
                made[tile.id] = (before, before - then)
    return made


def _risk(net: Net, calibration: Calibration, batch: Batch, rows: int, cols: int) -> Floats:
    """(B, y, x) the risk of each pixel."""
    said = net.predict(batch)[..., :rows, :cols].numpy().astype(np.float64)
    names = [output.name for output in net.outputs]
    hazards = [i for i, name in enumerate(names) if name.startswith("hazard: ")]
    if hazards:
        return np.asarray(said[:, hazards[-1]] * said[:, names.index("where")])
    return np.asarray(calibration.apply(said[:, 0]))


def _as_series(bundle: Bundle, stack: xr.Dataset) -> xr.Dataset:
    """The frames before the tasks as a forecast reads them: nothing is known of any task, and sensors that the stack
    does not have are missing. Raises StackError, BundleError."""
    if "time" not in stack.dims:
        raise StackError(
            "a forecast reads frames, and the places of the stack begin with one picture; build them with frames in "
            "[scenarios], such as frames = 8"
        )
    side = int(bundle.arguments.get("place_px", 0))
    if side and (stack.sizes["y"] % side or stack.sizes["x"] % side):
        raise BundleError(
            f"the forecast judges places of {side} px, and those of the stack are {stack.sizes['y']} x "
            f"{stack.sizes['x']}; build scenarios whose side_px is a multiple of {side}"
        )
    held = {band.name for band in stack_bands(stack)}
    missing = [band for band in bundle.bands if band.optional and band.name not in held]
    kept = [name for name in stack.data_vars if not str(name).startswith(AFTER)]
    framed = next(stack[b.name] for b in stack_bands(stack) if "time" in stack[b.name].dims)
    none = xr.zeros_like(framed.chunk() if framed.chunks is None else framed, dtype=np.float32) + np.float32(np.nan)
    more = {band.name: (none.dims, none.data, band_attrs(band)) for band in missing}
    made = stack[kept].drop_vars(TASK).assign(more)
    return made.assign_attrs(bands=[*_named(made), *more]) if "bands" in made.attrs else made


def _named(stack: xr.Dataset) -> Iterator[str]:
    return (name for name in stack.attrs["bands"] if name in stack)


def _planes(names: Sequence[str], x: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    """By band (y, x) or (time, y, x), from (C, y, x) or (time, C, y, x)."""
    return {name: x[..., i, :, :] for i, name in enumerate(names)}


def _usual_woods(stack: xr.Dataset, cases: Sequence[Case], names: Sequence[str]) -> Mapping[str, NDArray[np.floating]]:
    """The median look over places that have woods, for those that have none."""
    seen = [name for name in names if name in REFLECTANCE]
    looks: dict[str, list[float]] = {}
    for case in cases:
        planes = dict(zip(seen, picture_before(stack, seen, case.samples[0]), strict=True))
        woods, _ = woods_and_open(planes)
        if woods.sum() >= FEWEST_WOODS_PX:
            for name, value in look_of_woods(planes, woods).items():
                looks.setdefault(name, []).append(float(value))
    return {name: np.array(np.median(values)) for name, values in looks.items()}
