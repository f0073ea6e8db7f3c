"""The embedded default: a simulated valley whose landslides are drawn from a known law. No download, no real place.

The labels are fair draws from the law, so its own scores are the best that any model can reach on average.
Refuses to be taken for data: the stack and each of its bands say that they are simulated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from headscarp.core.band import Band
from headscarp.core.errors import GridError
from headscarp.core.grid import Grid
from headscarp.core.stack import LABEL, VALID, make_stack
from headscarp.sources.world.cover import COVERS, land_cover
from headscarp.sources.world.geology import AGES, DIAMICTON, GRAVEL, ROCKS, age_at, folded_strata, rock_at
from headscarp.sources.world.law import draw_landslides, failure_probability, log_safety
from headscarp.sources.world.relief import Relief, carve_relief, fractal_noise
from headscarp.terrain import slope

SIMULATED = "simulated by Headscarp (headscarp.sources.world): not a real place, not for decisions"

_CRS = "EPSG:32632"
_ORIGIN = (680_000.0, 5_140_000.0)
_SMALLEST = 32
_RELIEF = 0.15  # height of the ridges as a share of the side of the map
_TILL_SLOPE_DEG = 19.0

_BANDS = (
    Band("elevation", "continuous", "m", "simulated relief: streams eroding folded rock"),
    Band("slope", "continuous", "degree", "Horn (1981) on the simulated elevation"),
    Band("lithology", "categorical", "1", "simulated strata, gravel and till", tuple(rock.name for rock in ROCKS)),
    Band("rock_age", "categorical", "1", "simulated strata, gravel and till", AGES),
    Band("land_cover", "categorical", "1", "simulated from relief and noise", tuple(cover.name for cover in COVERS)),
    Band(LABEL, "label", "1", "simulated: drawn from the law of headscarp.sources.world.law"),
    Band(VALID, "mask", "1", "simulated: everywhere"),
)


@dataclass(frozen=True)
class Valley:
    """A simulated stack, and the true probability of a landslide in each of its cells, (y, x) float32 in (0, 1)."""

    stack: xr.Dataset
    law: NDArray[np.float32]


def simulate_valley(
    shape: tuple[int, int] = (768, 768), *, cell_size_m: float = 10.0, seed: int = 0, prevalence: float = 0.013
) -> Valley:
    """A simulated valley with its landslides, as a stack, and the law that they were drawn from.

    shape: (rows, columns), at least 32 each. cell_size_m: metres; relief grows with the extent of the map. prevalence:
    expected share of landslide cells; a draw differs from it by chance. The same arguments give the same valley.
    Bands: elevation, slope, lithology, rock_age, land_cover, landslide, valid. Raises GridError for a shape or cell
    size that makes no sense, RecipeError for a prevalence outside (0, 0.5).
    """
    if min(shape) < _SMALLEST or not 0.1 <= cell_size_m <= 1000.0:
        raise GridError(
            f"a valley of {shape[0]} x {shape[1]} cells of {cell_size_m:g} m was asked for; it needs at least "
            f"{_SMALLEST} x {_SMALLEST} cells of 0.1 to 1000 m"
        )
    shaping, covering, sliding = np.random.default_rng(seed).spawn(3)
    # The world is larger than the map, so that no edge of the map is an edge of the world.
    world = _world_side(shape[0]), _world_side(shape[1])
    inside = tuple(slice((w - s) // 2, (w - s) // 2 + s) for w, s in zip(world, shape, strict=True))
    extent_m = float(np.sqrt(shape[0] * shape[1])) * cell_size_m

    strata = folded_strata(extent_m, _RELIEF * extent_m, shaping)
    relief = carve_relief(world, cell_size_m, strata, shaping, relief_m=_RELIEF * extent_m)
    elevation = relief.elevation_m
    slope_deg = slope(np.pad(elevation, 1, mode="edge"), cell_size_m)[1:-1, 1:-1]
    lithology = rock_at(strata, elevation, cell_size_m)
    age = age_at(strata, elevation, cell_size_m)
    for loose, where in _loose(relief, slope_deg, shaping).items():
        lithology[where], age[where] = loose, len(AGES) - 1
    cover = land_cover(relief, slope_deg, cell_size_m, covering)

    log_fs = log_safety(elevation, slope_deg, lithology + 1, cover, cell_size_m=cell_size_m)
    law = failure_probability(log_fs[inside], prevalence)
    labels = draw_landslides(law, elevation[inside], sliding)
    planes: list[NDArray[Any]] = [
        elevation[inside],
        slope_deg[inside],
        lithology[inside] + 1,
        age[inside] + 1,
        cover[inside],
    ]
    grid = Grid(shape, Affine(cell_size_m, 0, _ORIGIN[0], 0, -cell_size_m, _ORIGIN[1]), _CRS)
    arrays = dict(zip(_BANDS, [*planes, labels, np.ones(shape, np.uint8)], strict=True))
    settings = {"seed": seed, "prevalence": prevalence, "cell_size_m": cell_size_m}
    return Valley(make_stack(grid, arrays, attrs={"simulated": SIMULATED, **settings}), law)


def _world_side(cells: int) -> int:
    """Cells of the world for that many of the map: an eighth more on each side, a multiple of 8 for the erosion."""
    return -(-(cells + 2 * max(24, cells // 8)) // 8) * 8


def _loose(relief: Relief, slope_deg: NDArray[np.floating], rng: np.random.Generator) -> dict[int, NDArray[np.bool_]]:
    """Where loose ground lies on the rock: till in patches on gentle lower slopes, gravel on the valley floor."""
    height = relief.elevation_m - relief.elevation_m.min()
    patches = fractal_noise(relief.elevation_m.shape, rng, 1.9)
    gentle = gaussian_filter(slope_deg, 3.0)
    till = (patches > 0.7) & (gentle < _TILL_SLOPE_DEG) & (height < 0.6 * height.max())
    return {DIAMICTON: till, GRAVEL: relief.fill_m > 2.0}
