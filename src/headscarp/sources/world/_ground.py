"""What the ground of a county consists of, on the grid of a sensor and on a day: shares of pure surfaces, and its lie.

The seasons are those of a place with rain in winter: grass is green from December to May. Slides that have a date
leave bare ground from that day, which plants take back over some years.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.warp import reproject

from headscarp.core.grid import Grid
from headscarp.sources.world.cover import COVERS
from headscarp.sources.world.place import County
from headscarp.sources.world.relief import fractal_noise

SURFACES = ("tree", "grass", "dry_grass", "soil", "rock", "water", "built_up")

_MADE_OF = {
    "agricultural": {"grass": 0.85, "soil": 0.13, "tree": 0.02},
    "artificial": {"built_up": 0.55, "tree": 0.2, "grass": 0.15, "soil": 0.1},
    "forest and semi-natural": {"tree": 0.82, "grass": 0.12, "soil": 0.06},
    "water": {"water": 1.0},
    "wetland": {"grass": 0.55, "water": 0.3, "soil": 0.15},
}
_BARE = {"scarp": 0.95, "deposit": 0.8}
_RECOVERY_YEARS = 4.0
_FORGOTTEN_YEARS = 20.0
_EPOCH = date(1970, 1, 1)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """shares: (surfaces, y, x) that sum to 1 where valid. normal: (3, y, x) unit vector up from the ground: east,
    north, up. valid: (y, x). slid: (2, y, x) days since 1970 of the last dated slide, as scarp and as deposit, NaN for
    none. texture: (y, x) how much brighter than its surfaces a cell is."""

    grid: Grid
    shares: Floats
    normal: Floats
    valid: NDArray[np.bool_]
    slid: Floats
    texture: Floats

    def shares_on(self, day: date) -> Floats:
        """(surfaces, y, x) on a day: grass green or dry, slides bare."""
        shares = self.shares.copy()
        grass, dry = SURFACES.index("grass"), SURFACES.index("dry_grass")
        green = greenness(day)
        shares[dry] = (1.0 - green) * shares[grass]
        shares[grass] *= green
        years = ((day - _EPOCH).days - self.slid) / 365.25
        for part, since in zip(_BARE, years, strict=True):
            bare = np.where(since >= 0.0, _BARE[part] * np.exp(-since / _RECOVERY_YEARS), 0.0)
            shares *= 1.0 - bare
            shares[SURFACES.index("soil")] += (0.6 if part == "scarp" else 0.95) * bare
            shares[SURFACES.index("rock")] += (0.4 if part == "scarp" else 0.05) * bare
        return shares


def greenness(day: date) -> float:
    """Share of the grass that is green: near 1 in March, under 0.1 from July to October."""
    turn = 2.0 * np.pi * (day.timetuple().tm_yday - 75) / 365.25
    return float(1.0 / (1.0 + np.exp(-4.0 * (np.cos(turn) - 0.15))))


def ground_on(county: County, grid: Grid) -> Ground:
    """The ground of a county on the grid of a sensor, each cell the mean over what it covers. Outside it is invalid."""
    cover, z = county.band("land_cover"), county.band("elevation").astype(np.float64)
    table = np.array([[_MADE_OF[c.name].get(s, 0.0) for s in SURFACES] for c in COVERS], np.float32)
    rows, cols = np.gradient(z, abs(county.grid.affine.e))
    up = 1.0 / np.sqrt(rows**2 + cols**2 + 1.0)
    planes = np.concatenate([np.moveaxis(table[cover - 1], -1, 0), np.stack([-cols * up, rows * up, up])])
    noise = fractal_noise(cover.shape, np.random.default_rng([county.seed, 1]), 0.9)
    planes = np.concatenate([planes, (1.0 + 0.09 * noise)[None]]).astype(np.float32)
    out = np.full((len(planes), *grid.shape), np.nan, np.float32)
    for plane, to in zip(planes, out, strict=True):
        warp(plane, county.grid, to, grid, Resampling.average)
    count = len(SURFACES)
    shares, normal, texture = out[:count], out[count : count + 3], out[-1]
    valid = np.isfinite(texture)
    normal /= np.maximum(np.sqrt((normal**2).sum(axis=0)), 1e-6)
    slid = np.stack([_slide_days(county, grid, part) for part in _BARE])
    return Ground(grid, np.nan_to_num(shares), np.nan_to_num(normal), valid, slid, np.nan_to_num(texture))


def warp(plane: Floats, source: Grid, to: Floats, grid: Grid, resampling: Resampling) -> None:
    """Brings a plane onto another grid, in place; NaN where there is nothing."""
    reproject(
        plane,
        to,
        src_transform=source.affine,
        src_crs=str(source.crs),
        dst_transform=grid.affine,
        dst_crs=str(grid.crs),
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=resampling,
    )


def _slide_days(county: County, grid: Grid, part: str) -> Floats:
    table = county.slides.scarps if part == "scarp" else county.slides.deposits
    dated = table[table.date.notna() & (table.original_age_years < _FORGOTTEN_YEARS)].sort_values("date")
    days = np.full(grid.shape, np.nan, np.float32)
    if len(dated):
        since = (dated.date - np.datetime64(_EPOCH)).dt.days.to_numpy()
        shapes = list(zip(dated.to_crs(str(grid.crs)).geometry, since.tolist(), strict=True))
        rasterize(shapes, out=days, transform=grid.affine)
    return days
