"""The simulated ground: a column of rocks, tilted, folded and faulted, so that what crops out depends on the relief.

Rock is a function of place and height, as in nature: streams meet older rock than ridges do. The strengths are round
figures within the ranges of textbooks (e.g. Hoek and Bray 1981; Selby 1993); no real site is meant.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rock:
    """A rock and the soil that it weathers to.

    relief: how steep streams and slopes stand in it, 1 = average. cohesion_kpa, friction_deg: strength of its soil.
    transmissivity_m2_per_day: how fast that soil drains sideways when it is saturated.
    """

    name: str
    relief: float
    cohesion_kpa: float
    friction_deg: float
    transmissivity_m2_per_day: float


ROCKS = (
    Rock("gneiss", 1.20, 5.0, 37.0, 70.0),
    Rock("phyllite", 0.85, 2.0, 27.0, 20.0),
    Rock("sandstone", 1.10, 4.5, 35.0, 65.0),
    Rock("siltstone", 0.85, 3.0, 30.0, 25.0),
    Rock("dolomite", 1.30, 6.0, 40.0, 110.0),
    Rock("limestone", 1.20, 6.0, 38.0, 90.0),
    Rock("impure limestone", 0.95, 3.0, 30.0, 30.0),
    Rock("claystone", 0.75, 1.0, 22.0, 10.0),
    Rock("basalt", 1.15, 5.0, 37.0, 55.0),
    Rock("tuff", 0.80, 1.5, 26.0, 15.0),
    Rock("conglomerate", 1.10, 5.0, 36.0, 80.0),
    Rock("gravel", 1.0, 1.0, 36.0, 150.0),
    Rock("diamicton", 1.0, 2.5, 29.0, 25.0),
)
"""Rocks by code - 1. The last two are loose: river gravel and glacial till lie on the others."""

GRAVEL, DIAMICTON = 11, 12

AGES = ("Palaeozoic", "Permian", "Triassic", "Jurassic", "Cretaceous", "Paleogene", "Neogene", "Quaternary")

# From old to young: rock, age, share of the column's thickness.
_COLUMN = (
    ("gneiss", "Palaeozoic", 9),
    ("phyllite", "Palaeozoic", 6),
    ("sandstone", "Permian", 5),
    ("siltstone", "Permian", 3),
    ("dolomite", "Triassic", 6),
    ("claystone", "Triassic", 3),
    ("dolomite", "Triassic", 5),
    ("impure limestone", "Jurassic", 4),
    ("limestone", "Jurassic", 7),
    ("claystone", "Jurassic", 2),
    ("limestone", "Cretaceous", 5),
    ("impure limestone", "Cretaceous", 5),
    ("tuff", "Cretaceous", 2),
    ("limestone", "Cretaceous", 4),
    ("claystone", "Paleogene", 4),
    ("sandstone", "Paleogene", 5),
    ("basalt", "Paleogene", 5),
    ("tuff", "Paleogene", 3),
    ("siltstone", "Neogene", 4),
    ("claystone", "Neogene", 4),
    ("conglomerate", "Neogene", 9),
)


@dataclass(frozen=True)
class Strata:
    """How the column of beds lies in space; places are metres south and east of the middle of the grid.

    thickness_m: of the whole column. dip: rise of the beds per metre along y and x. waves: folds and smaller bends,
    (n, 4) rows of wave number along y and x in 1/m, phase, amplitude in m. fault: unit normal (y, x), distance from
    the middle, throw in m. datum_m: height in the column that crops out at sea level in the middle.
    """

    thickness_m: float
    dip: tuple[float, float]
    waves: Floats
    fault: tuple[float, float, float, float]
    datum_m: float


def folded_strata(extent_m: float, relief_m: float, rng: np.random.Generator) -> Strata:
    """Strata for a square of extent_m: a dip of some degrees, folds that share an axis, smaller bends, one fault."""
    axis = rng.uniform(0.15, 0.5) * np.pi * rng.choice([-1.0, 1.0])
    across = np.array([np.sin(axis), np.cos(axis)])
    dip = np.tan(np.radians(rng.uniform(4.0, 8.0))) * across
    folds = [
        [*(2.0 * np.pi / (share * extent_m) * across), rng.uniform(0, 2 * np.pi), high * relief_m]
        for share, high in ((0.62, 0.30), (0.27, 0.10))
    ]
    bends = [
        [*(2.0 * np.pi / (extent_m * rng.uniform(0.12, 0.8)) * _unit(rng)), rng.uniform(0, 2 * np.pi), 0.03 * relief_m]
        for _ in range(10)
    ]
    normal = _unit(rng)
    fault = (float(normal[0]), float(normal[1]), float(rng.uniform(-0.1, 0.1) * extent_m), 0.2 * relief_m)
    datum = float(rng.uniform(0.15, 0.35) * relief_m)
    return Strata(1.6 * relief_m, (float(dip[0]), float(dip[1])), np.array(folds + bends), fault, datum)


def rock_at(strata: Strata, elevation_m: NDArray[np.floating], cell_size_m: float) -> NDArray[np.int64]:
    """Index into ROCKS of the bedrock at the surface: (y, x)."""
    return _ROCK_OF_BED[bed_at(strata, elevation_m, cell_size_m)]


def age_at(strata: Strata, elevation_m: NDArray[np.floating], cell_size_m: float) -> NDArray[np.int64]:
    """Index into AGES of the bedrock at the surface: (y, x)."""
    return _AGE_OF_BED[bed_at(strata, elevation_m, cell_size_m)]


def bed_at(strata: Strata, elevation_m: NDArray[np.floating], cell_size_m: float) -> NDArray[np.int64]:
    """Index of the bed at the surface, oldest first: (y, x). Past the ends of the column it comes back mirrored."""
    rows, cols = elevation_m.shape
    y = ((np.arange(rows) + 0.5) - rows / 2)[:, None] * cell_size_m
    x = ((np.arange(cols) + 0.5) - cols / 2)[None, :] * cell_size_m
    height = elevation_m.astype(np.float64) + strata.datum_m + strata.dip[0] * y + strata.dip[1] * x
    for wave_y, wave_x, phase, amplitude in strata.waves:
        # sin(a + b) from one row and one column: no plane of sines for each wave.
        height += amplitude * (
            np.sin(wave_y * y + phase) * np.cos(wave_x * x) + np.cos(wave_y * y + phase) * np.sin(wave_x * x)
        )
    along_y, along_x, offset, throw = strata.fault
    height += throw * (along_y * y + along_x * x > offset)
    place = np.mod(height / strata.thickness_m, 2.0)
    place = np.where(place > 1.0, 2.0 - place, place)
    return np.clip(np.searchsorted(_BOTTOMS, place, side="right") - 1, 0, len(_COLUMN) - 1)


def _unit(rng: np.random.Generator) -> Floats:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


_NAMES = [rock.name for rock in ROCKS]
_ROCK_OF_BED = np.array([_NAMES.index(name) for name, _, _ in _COLUMN])
_AGE_OF_BED = np.array([AGES.index(age) for _, age, _ in _COLUMN])
_BOTTOMS = np.concatenate([[0.0], np.cumsum([t for _, _, t in _COLUMN])[:-1]]) / sum(t for _, _, t in _COLUMN)
