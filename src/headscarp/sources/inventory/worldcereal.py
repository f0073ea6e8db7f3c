"""WorldCereal's training cubes as a stack of samples: months of Sentinel-2, Sentinel-1, terrain and weather, in NetCDF.

They hold no landslides; they are real series of the two sensors with weather beside them, to try readers and nets of
time series on. Pixels keep the published numbers: 65535 = missing; Sentinel-2 reflectance x 10000; Sentinel-1, weather
and terrain as the scaled integers that they are. Refuses variables that it does not know.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.band import Band
from headscarp.sources.inventory.samples import find_files
from headscarp.sources.inventory.timeseries import Layout, patches_stack, read_patch

MISSING = 65535.0

_OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
_RADAR = ("VV", "VH")
_WEATHER = {
    "precipitation": ("AGERA5-PRECIP", "total_precipitation"),
    "temperature": ("AGERA5-TMEAN", "temperature_2m"),
}
_CROPS = ("TEMPORARYCROPS", "WINTERCEREALS", "SPRINGCEREALS", "MAIZE-MAIN", "MAIZE-SECOND")


def _bands() -> dict[str, Band]:
    """Both spellings of each variable -> its band."""
    bands: dict[str, Band] = {}
    for name in _OPTICAL:
        band = Band(name, "continuous", "1", f"Sentinel-2 L2A {name}, reflectance x 10000")
        bands |= {f"S2-L2A-{name}": band, name.replace("B0", "B"): band}
    for name in _RADAR:
        band = Band(name, "continuous", "1", f"Sentinel-1 sigma0 {name}, scaled to 16 bits")
        bands |= {f"S1-SIGMA0-{name}": band, name: band}
    for name in ("elevation", "slope"):
        bands[name] = Band(name, "continuous", "1", f"{name}, scaled to 16 bits")
    for name, spellings in _WEATHER.items():
        bands |= dict.fromkeys(spellings, Band(name, "continuous", "1", f"AgERA5 {name}, scaled to 16 bits"))
    return bands


LAYOUT = Layout(
    bands=_bands(),
    missing=dict.fromkeys(_bands(), MISSING),
    static=("elevation", "slope"),
    others=tuple(f"WORLDCEREAL_{crop}_2021" for crop in _CROPS),
    time="t",
)


def read_worldcereal(places: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """A stack (sample, time, y, x) of all cubes of a folder, or of the files named, of one size and one spelling.

    Beside the bands: date and present (sample, time), centre_x and centre_y. Raises SourceError.
    """
    files = find_files(places, "worldcereal_*.nc", "cubes")
    patches = [read_patch(file, LAYOUT.time) for file in files]
    centres = {axis: np.array([float(getattr(patch, axis).mean()) for patch in patches]) for axis in ("x", "y")}
    known = {f"centre_{axis}": (("sample",), values) for axis, values in centres.items()}
    return patches_stack(patches, LAYOUT, [file.stem for file in files], variables=known)
