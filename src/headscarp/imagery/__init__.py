"""What satellites saw, cell by cell: indices, clear looks, composites of a period, radar. Plain arrays in, arrays out.

Knows no files, services or torch. Reflectance is 0..1, radar power is linear unless a name says decibel, missing is
NaN; time comes first, then band, y, x.
"""

from headscarp.imagery.clouds import LOOKS, clear_looks, hide
from headscarp.imagery.composites import COMPOSITES, latest, mean, median, medoid, percentile, valid_share
from headscarp.imagery.indices import INDICES, Index, clip_to_range, index
from headscarp.imagery.period import composite_stack
from headscarp.imagery.sar import FILTERS, gamma_map, halo_px, lee, log_ratio, multitemporal, to_db, to_power

__all__ = [
    "COMPOSITES",
    "FILTERS",
    "INDICES",
    "LOOKS",
    "Index",
    "clear_looks",
    "clip_to_range",
    "composite_stack",
    "gamma_map",
    "halo_px",
    "hide",
    "index",
    "latest",
    "lee",
    "log_ratio",
    "mean",
    "median",
    "medoid",
    "multitemporal",
    "percentile",
    "to_db",
    "to_power",
    "valid_share",
]
