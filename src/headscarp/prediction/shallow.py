"""The physical risk of shallow slides of a place, without and with the roots of grown trees. Refuses nothing."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscarp.terrain import flow_accumulation
from headscarp.terrain.roots import root_cohesion_kpa
from headscarp.terrain.stability import ROOT_DEPTH_M, Soil, failure_probability

_PHYSICS_DRAWS = 400

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Ground:
    """What the physics needs to know of a place. slope_deg, area_per_width_m: (y, x). roots_kpa: of grown trees."""

    slope_deg: Floats
    area_per_width_m: Floats
    soil: Soil = field(default_factory=Soil)
    roots_kpa: float = field(default_factory=root_cohesion_kpa)
    root_depth_m: float = ROOT_DEPTH_M

    @staticmethod
    def of(elevation_m: Floats, slope_deg: Floats, cell_m: float, **options: Any) -> "Ground":
        """The ground of a DEM, (y, x) metres; water gathers as `terrain.flow` says."""
        area = flow_accumulation(np.ascontiguousarray(elevation_m, np.float32), cell_m)
        return Ground(slope_deg, np.asarray(area / cell_m), **options)

    def risk(self, roots_kpa: Floats | float, seed: int) -> NDArray[np.float64]:
        """(y, x) probability of failure with roots of so much cohesion."""
        return failure_probability(
            np.asarray(self.slope_deg, np.float32), self.area_per_width_m, self.soil, roots_kpa=roots_kpa,
            root_depth_m=self.root_depth_m, draws=_PHYSICS_DRAWS, seed=seed,
        ).astype(np.float64)  # fmt: skip


def physical_gain(ground: Ground, *, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(y, x) probability of failure of bare ground, and how much less it is with grown trees, on the same soils."""
    bare = ground.risk(0.0, seed)
    return bare, bare - ground.risk(ground.roots_kpa, seed)
