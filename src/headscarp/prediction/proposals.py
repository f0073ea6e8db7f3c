"""The verb next: which tiles to label next, because the net is unsure there and they are unlike what it has seen.

A net that needs no labels ranks ground by how abnormal it is; there the most abnormal tiles take the place of the most
uncertain ones. Streams block by block and keeps the first of these and a sample of the labelled ones, so memory does
not grow with the raster. Refuses bundles whose numbers are no probabilities, and stacks where all ground is labelled
already.
"""

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
import torch
import xarray as xr
from scipy.ndimage import distance_transform_edt

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.blocks import Done, run_blocks
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.calibration import calibration_from_json
from headscarp.core.errors import BundleError, OutputError, RecipeError, StackError
from headscarp.core.grid import Grid, cell_corner, ground_resolution_m
from headscarp.core.machine import cores
from headscarp.core.provenance import made_by, write_stac_item
from headscarp.core.stack import LABEL, fingerprint, label_names, stack_grid, with_label
from headscarp.core.tile import Tile
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.prediction.blockwork import aligned_tiles
from headscarp.prediction.engines import make_engine, single_threaded_torch
from headscarp.prediction.unsure import Gathered, Seen, entropy_bits, farthest_first, tiles_in
from headscarp.tiles.dataset import as_stack, raster_shape
from headscarp.tiles.fits import check_fits
from headscarp.tiles.reader import TileReader
from headscarp.tiles.tiling import halo_of

BLOCK_PX = 512
POOL = 50
"""So many of the most uncertain tiles are kept for each that is asked for; diversity chooses among them."""


def propose_tiles(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    count: int = 20,
    tile_px: int = 64,
    label: str | None = None,
    engine: str = "torch",
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes the tiles to label next as a GeoPackage in the stack's CRS, and returns its path.

    A tile is tile_px x tile_px cells with a quarter of them valid and unlabelled at least. Uncertainty: entropy of the
    calibrated probability in bits, or the score of a net without labels, mean over its unlabelled cells. Diversity:
    farthest first, by the mean features of tiles in standard deviations; the next one has the largest product of its
    uncertainty and its distance to the nearest labelled or chosen tile (k-center, weighted; after Sener and Savarese
    2018). Columns: rank, reason, mean_entropy (bit),
    mean_probability, distance_m (from centre to centre to the nearest tile with a label, NaN where there is none),
    unlabelled_share. label: which label band, where there are several; default is the one that the bundle has learned.
    seed: of the sample of labelled tiles that is kept. Raises StackError, BundleError, RecipeError and OutputError.
    """
    out = Path(out)
    if out.suffix.lower() != ".gpkg":
        raise OutputError(f"proposals go to a GeoPackage, but --out is {out}; give a name that ends in .gpkg")
    if count < 1 or tile_px < 4:
        raise RecipeError(f"{count} tiles of {tile_px} px are asked for; needed: 1 or more, of 4 px or more")
    opened = as_bundle(bundle)
    dataset = as_stack(stack)
    grid = stack_grid(dataset)
    dataset = with_label(dataset, opened.label if label is None and opened.label in label_names(dataset) else label)
    check_output(out, overwrite=overwrite)
    abnormal = not NETS[opened.net].needs_labels
    interest = np.asarray if abnormal else entropy_bits
    gathered = Gathered(raster_shape(dataset), tile_px, keep=POOL * count, seed=seed, interest=interest)
    _look(opened, dataset, gathered, engine=engine, workers=workers or cores())
    if not gathered.candidates:
        raise StackError(
            f"no tile of {tile_px} px has a quarter of its cells valid and unlabelled; there is nothing left to label, "
            f"or take smaller tiles: --tile-px {max(4, tile_px // 4)}"
        )
    pool, known = gathered.pool(), gathered.known()
    order = farthest_first(
        np.array([tile.features for tile in pool]),
        np.array([tile.interest for tile in pool]),
        np.array([tile.features for tile in known]),
        count=count,
    )
    word = "mean abnormality {0.interest:.2f}" if abnormal else "mean entropy {0.entropy:.2f} bit"
    table = _table(pool, order, gathered, grid, word=word)
    partial = partial_path(out).with_suffix(".gpkg")
    partial.unlink(missing_ok=True)
    with clear_os_errors(out):
        table.to_file(partial, driver="GPKG", layer=out.stem, engine="pyogrio")
    settings = {"count": count, "tile_px": tile_px, "label": dataset.attrs.get("label", LABEL), "engine": engine}
    inputs = [{"net": opened.net, "stack": fingerprint(dataset)}]
    made = made_by("next", settings=settings, inputs=inputs, seed=seed)
    write_stac_item(out, grid, made, bands=[], media="application/geopackage+sqlite3")
    return finish(partial, out)


def _look(bundle: Bundle, stack: xr.Dataset, gathered: Gathered, *, engine: str, workers: int) -> None:
    """Runs the bundle over the whole stack, block by block, and gathers what its tiles are like."""
    fit = check_fits(bundle, stack)
    net = net_from_bundle(bundle).eval()
    first = net.outputs[0]
    if (first.low, first.high) != (0.0, 1.0):
        raise BundleError(
            f"net {bundle.net!r} gives {first.name!r} from {first.low:g} to {first.high:g}, which is no probability, "
            "so nobody can say how unsure it is; take another bundle"
        )
    run, calibration = make_engine(engine, net, threads=workers), calibration_from_json(bundle.calibration)
    reader, step = TileReader(stack, fit.bands), math.lcm(gathered.tile_px, net.align)
    shape = raster_shape(stack)
    block_px = step * max(1, BLOCK_PX // step)

    def work(block: Tile) -> Done:
        torch.set_num_threads(1)  # of the calling thread: blocks run side by side
        pixels, inside = reader.read(block), block.window.clip(shape)
        core = (slice(block.halo, block.halo + inside.height), slice(block.halo, block.halo + inside.width))
        valid, y = pixels.valid[core], pixels.y[core]
        if valid.any():
            x = pixels.x[(slice(None), *core)].copy()
            recoded = torch.from_numpy(fit.recode(pixels.x))[None]
            made = run(Batch(x=recoded, valid=torch.from_numpy(pixels.valid)[None], tiles=(block,)))[0][core]
            probability = np.asarray(calibration.apply(made))
            for tile in tiles_in(inside, gathered.tile_px):
                at = (slice(tile.row - inside.row, tile.row - inside.row + tile.height),
                      slice(tile.col - inside.col, tile.col - inside.col + tile.width))  # fmt: skip
                if valid[at].any():
                    gathered.add(tile, x[(slice(None), *at)], fit.bands, (probability[at], valid[at], y[at]))
        return Done("")

    with single_threaded_torch():
        run_blocks(work, aligned_tiles(shape, block_px, halo_of(net), net.align), workers=workers, label="next")


def _table(
    pool: list[Seen], order: list[tuple[int, float]], gathered: Gathered, grid: Grid, *, word: str
) -> gpd.GeoDataFrame:
    """The rows of the chosen tiles, first rank first. order: position in the pool, distance when it was chosen."""
    side_m = gathered.tile_px * ground_resolution_m(grid)
    away = None
    if gathered.labelled.any():
        away = np.asarray(distance_transform_edt(~gathered.labelled)) * side_m
    rows = []
    for rank, (index, distance) in enumerate(order, start=1):
        tile = pool[index]
        left, top = cell_corner(grid, tile.window.col, tile.window.row)
        right, bottom = cell_corner(grid, tile.window.col + tile.window.width, tile.window.row + tile.window.height)
        place = (tile.window.row // gathered.tile_px, tile.window.col // gathered.tile_px)
        rows.append(
            {
                "rank": rank,
                "reason": _reason(f"{word.format(tile)}, number {index + 1} of {gathered.candidates} tiles", distance),
                "mean_entropy": tile.entropy,
                "mean_probability": tile.probability,
                "distance_m": float("nan") if away is None else float(away[place]),
                "unlabelled_share": tile.unlabelled / (tile.window.height * tile.window.width),
                "geometry": shapely.box(min(left, right), min(top, bottom), max(left, right), max(top, bottom)),
            }
        )
    return gpd.GeoDataFrame(rows, geometry="geometry", crs=str(grid.crs.to_wkt() if grid.crs else ""))


def _reason(unsure: str, distance: float) -> str:
    if not math.isfinite(distance):
        return f"{unsure}; no tile is labelled or chosen yet"
    return f"{unsure}; {distance:.1f} standard deviations from the nearest tile that is labelled or chosen"
