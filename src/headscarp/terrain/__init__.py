"""Derivations of a DEM: plain arrays in, arrays out. Knows no torch, no files and no coordinate systems.

All take elevations in metres as (y, x) with row 0 in the north, NaN where missing, and the true size of a cell in
metres. `derive` gives several in one pass; `halo_px` says how much context a block needs for each.
"""

from headscarp.terrain.curvature import plan_curvature, profile_curvature, total_curvature
from headscarp.terrain.derive import METHODS, NAMES, derive
from headscarp.terrain.distance import distance_to
from headscarp.terrain.flow import flow_accumulation, wetness_index
from headscarp.terrain.halo import halo_px
from headscarp.terrain.relief import relief, topographic_position
from headscarp.terrain.ring import ring
from headscarp.terrain.slope import aspect, slope
from headscarp.terrain.uphill import Uphill, uphill

__all__ = [
    "METHODS",
    "NAMES",
    "Uphill",
    "aspect",
    "derive",
    "distance_to",
    "flow_accumulation",
    "halo_px",
    "plan_curvature",
    "profile_curvature",
    "relief",
    "ring",
    "slope",
    "topographic_position",
    "total_curvature",
    "uphill",
    "wetness_index",
]
