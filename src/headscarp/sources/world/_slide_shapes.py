"""The shapes of one simulated landslide: the hollow that its scarp leaves, and the lobe of its deposit.

Shapes only, scaled so that what leaves the scarp is what the deposit holds; where slides start, how large and how old
they are is decided in `slides`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from headscarp.sources.world._slide_kernels import grow_deposit

Floats = NDArray[np.float64]

_HEAD = 0.3  # share of the scarp's length that its steep head takes up
_FOOT = 0.06  # depth at the foot of the scarp, as a share of the deepest
_SCATTER_OF_REACH = 0.12  # in log10, about the spread of Corominas' regression
_LEAST_OF_AREA = 0.5  # a deposit that the angle of reach keeps smaller than this share of its area is no slide


@dataclass(frozen=True)
class Ground:
    """What slides happen on: z (y, x) metres, changed as they happen; cell_m (dy, dx); downhill by scale: unit vectors
    (rows, columns) in metres and tangents of slope; noise by scale: planes of deviation one, and its wavelengths."""

    z: Floats
    cell_m: tuple[float, float]
    scales_m: tuple[float, ...]
    downhill: tuple[tuple[Floats, Floats, Floats], ...]
    noise: tuple[Floats, ...]
    closed: NDArray[np.uint8]

    def at_scale(self, length_m: float) -> int:
        """Index of the scale nearest to a length."""
        return int(np.argmin(np.abs(np.log(np.array(self.scales_m) / length_m))))


@dataclass(frozen=True)
class Scarp:
    """rows, cols: its cells; depth_m: how much each loses; place: (row, column) of the crown; foot: its lowest cells;
    length_m, slope: downhill, before it failed."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    depth_m: Floats
    place: tuple[int, int]
    foot: NDArray[np.int64]
    length_m: float
    slope: float


@dataclass(frozen=True)
class Deposit:
    """rows, cols: its cells; thickness_m: how much each gains; reach: tangent of its angle of reach."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    thickness_m: Floats
    reach: float


def shape_scarp(
    ground: Ground, place: tuple[int, int], area_m2: float, volume_m3: float, rng: np.random.Generator
) -> Scarp | None:
    """The hollow of a slide whose crown is near a cell, or None where the ground has no room for it.

    A horseshoe open downhill: a crown that curves back, a steep head below it, a floor that flattens until it leaves
    the slope at the foot; a concave profile throughout. It is no deeper than lets the floor fall towards the foot.
    """
    wide = float(np.exp(rng.normal(0.15, 0.25)))  # width over length
    bend = rng.uniform(0.45, 0.8)
    length_m = float(np.sqrt(area_m2 / (wide * (1.0 - bend / 3.3))))
    dy, dx = ground.cell_m
    south, east, tangent = ground.downhill[ground.at_scale(length_m / 2)]
    unit_y, unit_x, slope = south[place], east[place], float(tangent[place])
    turn = rng.normal(0.0, 0.15)
    unit_y, unit_x = unit_y * np.cos(turn) + unit_x * np.sin(turn), unit_x * np.cos(turn) - unit_y * np.sin(turn)
    reach = int(np.ceil(length_m * max(1.2, wide) / min(dy, dx))) + 3
    top, left = place[0] - reach, place[1] - reach
    if top < 3 or left < 3 or place[0] + reach + 3 >= ground.z.shape[0] or place[1] + reach + 3 >= ground.z.shape[1]:
        return None
    window = (slice(top, place[0] + reach + 1), slice(left, place[1] + reach + 1))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    y, x = y * dy, x * dx
    down, across = (y * unit_y + x * unit_x) / length_m, (x * unit_y - y * unit_x) / (0.5 * wide * length_m)
    down = down + 0.05 * ground.noise[ground.at_scale(length_m / 2)][window]
    across = across + 0.08 * ground.noise[ground.at_scale(length_m / 3)][window].T
    below_crown = down - bend * np.abs(across) ** 2.3
    inside = (below_crown > 0.0) & (down < 1.0) & (np.abs(across) < 1.0)
    head = np.sin(0.5 * np.pi * np.clip(below_crown / _HEAD, 0.0, 1.0))
    flank = np.sin(0.5 * np.pi * np.clip((1.0 - np.abs(across)) / 0.3, 0.0, 1.0))
    floor = _FOOT + (1.0 - _FOOT) * np.clip((1.0 - down) / (1.0 - _HEAD), 0.0, 1.0) ** 0.9
    depth = np.where(inside, np.maximum(head * np.maximum(flank, 0.15) * floor, 0.02), 0.0)
    total = depth.sum() * dy * dx
    if total <= 0.0 or ground.closed[window][inside].any():
        return None
    deepest = min(volume_m3 / total, 0.55 * length_m * slope)
    rows, cols = np.nonzero(inside)
    foot = inside & (down > 1.0 - max(0.2, 1.5 * max(dy, dx) / length_m)) & (np.abs(across) < 0.9)
    z = ground.z[window]
    if not foot.any() or z[foot].mean() > z[reach, reach] - 0.5 * slope * length_m:
        return None
    return Scarp(
        rows + top,
        cols + left,
        deepest * depth[inside],
        place,
        np.argwhere(foot) + np.array([top, left]),
        length_m,
        slope,
    )


def shape_deposit(ground: Ground, scarp: Scarp, area_m2: float, rng: np.random.Generator) -> Deposit | None:
    """The lobe that takes the volume of a scarp, or None where the slope is too gentle to carry it away.

    It spreads from the foot of the scarp over the cells that are cheapest to reach, steep ways first, until it has its
    area, and stays above the line of reach: log10 tan(angle) = -0.047 - 0.085 log10(volume in m3), Corominas (1996),
    Canadian Geotechnical Journal 33, 260-271, all landslides, with scatter. Thickness grows from the margins inwards
    and towards the toe, with transverse ridges and hummocks, and sums up to the volume of the scarp.
    """
    dy, dx = ground.cell_m
    volume = float(scarp.depth_m.sum()) * dy * dx
    reach = 10.0 ** (-0.047 - 0.085 * np.log10(volume) + rng.normal(0.0, _SCATTER_OF_REACH))
    if reach > 0.95 * scarp.slope:
        return None
    z, closed = ground.z, ground.closed
    wanted = max(8, round(area_m2 / (dy * dx)))
    crown_m = float(z[scarp.place])
    highest = float(z[scarp.foot[:, 0], scarp.foot[:, 1]].mean())
    uneven = ground.noise[ground.at_scale(np.sqrt(area_m2) / 5)]
    rules = (*map(float, scarp.place), crown_m, reach, highest, float(wanted), rng.uniform(3.0, 6.0), 15.0)
    before = closed[scarp.rows, scarp.cols].copy()
    closed[scarp.rows, scarp.cols] = 1
    cells, costs = grow_deposit(z, closed, scarp.foot, uneven, ground.cell_m, rules)
    closed.ravel()[cells] = 0
    closed[scarp.rows, scarp.cols] = before
    rows, cols = np.unravel_index(cells, z.shape)
    if len(cells) < _LEAST_OF_AREA * wanted or _touches_edge(rows, cols, z.shape):
        return None
    return Deposit(rows, cols, _thickness(ground, scarp, rows, cols, costs, volume, rng), reach)


def _thickness(
    ground: Ground,
    scarp: Scarp,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    costs: Floats,
    volume_m3: float,
    rng: np.random.Generator,
) -> Floats:
    """(k,) metres, > 0, whose sum over the cells is the volume."""
    dy, dx = ground.cell_m
    side_m = float(np.sqrt(len(rows) * dy * dx))
    top, left = rows.min() - 1, cols.min() - 1
    inside = np.zeros((rows.max() - top + 2, cols.max() - left + 2), bool)
    inside[rows - top, cols - left] = True
    # The border with the scarp is no margin: there the slide goes on.
    own = (scarp.rows - top, scarp.cols - left)
    near = (own[0] >= 0) & (own[1] >= 0) & (own[0] < inside.shape[0]) & (own[1] < inside.shape[1])
    inside[own[0][near], own[1][near]] = True
    margin_m = distance_transform_edt(inside, sampling=(dy, dx))[rows - top, cols - left]
    margin_m -= 0.4 * min(dy, dx)
    edge = np.clip(margin_m / (0.22 * side_m), 0.0, 1.0) ** 0.6
    along = costs / max(float(costs.max()), 1.0)
    ridges = np.sin(2.0 * np.pi * (along * rng.uniform(3.0, 6.0) + rng.uniform()))
    finest_m = 3.0 * max(dy, dx)  # what one cell of a DEM averages over has no knobs of one cell
    hummocks = ground.noise[ground.at_scale(max(side_m / 4, finest_m))][rows, cols]
    knobs = ground.noise[ground.at_scale(max(side_m / 9, finest_m))][rows, cols]
    rough = np.clip(1.0 + 0.13 * ridges * along + 0.17 * hummocks + 0.10 * knobs, 0.3, 2.0)
    # Thin where it leaves the scarp, or a wall would face uphill there.
    body = np.clip(along / 0.3, 0.1, 1.0) * (0.6 + 0.4 * along)
    thickness = edge * body * rough + 0.02
    return np.asarray(thickness * (volume_m3 / (thickness.sum() * dy * dx)))


def _touches_edge(rows: NDArray[np.int64], cols: NDArray[np.int64], shape: tuple[int, ...]) -> bool:
    return bool(min(rows.min(), cols.min()) < 2 or rows.max() > shape[0] - 3 or cols.max() > shape[1] - 3)
