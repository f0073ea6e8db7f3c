"""Spectra of what simulated ground is made of: reflectance of pure surfaces from blue to short-wave infrared.

Round figures of canopies and surfaces, not of single leaves or grains, within the range of the curves of the USGS
Spectral Library Version 7 (Kokaly et al. 2017, USGS Data Series 1035, doi 10.3133/ds1035) and, for clear water, of
Jensen (2007), Remote Sensing of the Environment. They are nobody's measurement. Pure values: no pixels are made here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WAVELENGTHS_UM = (0.48, 0.56, 0.655, 0.705, 0.74, 0.783, 0.865, 1.61, 2.20)
"""Where the spectra are given: the six bands of Landsat 8 OLI and the three of Sentinel-2 on the red edge."""

LANDSAT_BANDS = {"blue": 0.48, "green": 0.56, "red": 0.655, "nir08": 0.865, "swir16": 1.61, "swir22": 2.20}
"""Centres of bands 2 to 7 of Landsat 8 OLI, in micrometres."""

SENTINEL2_BANDS = {
    "B02": 0.49,
    "B03": 0.56,
    "B04": 0.665,
    "B05": 0.704,
    "B06": 0.740,
    "B07": 0.783,
    "B08": 0.833,
    "B8A": 0.865,
    "B11": 1.61,
    "B12": 2.19,
}
"""Centres of bands of Sentinel-2A MSI, in micrometres."""

SPECTRA = {
    "tree": (0.025, 0.050, 0.030, 0.085, 0.22, 0.30, 0.33, 0.17, 0.075),
    "grass": (0.040, 0.085, 0.050, 0.13, 0.30, 0.37, 0.42, 0.24, 0.12),
    "dry_grass": (0.075, 0.12, 0.165, 0.19, 0.215, 0.235, 0.27, 0.36, 0.26),
    "soil": (0.075, 0.105, 0.145, 0.165, 0.18, 0.195, 0.225, 0.32, 0.29),
    "rock": (0.13, 0.16, 0.19, 0.20, 0.21, 0.215, 0.23, 0.28, 0.26),
    "water": (0.045, 0.045, 0.025, 0.018, 0.012, 0.010, 0.008, 0.004, 0.003),
    "built_up": (0.12, 0.14, 0.155, 0.165, 0.17, 0.18, 0.20, 0.24, 0.23),
    "ash": (0.075, 0.080, 0.085, 0.087, 0.090, 0.090, 0.095, 0.11, 0.105),
    "snow": (0.90, 0.91, 0.90, 0.89, 0.88, 0.86, 0.80, 0.10, 0.07),
    "cloud": (0.62, 0.63, 0.65, 0.65, 0.66, 0.67, 0.68, 0.45, 0.34),
}
"""Reflectance in [0, 1] at WAVELENGTHS_UM: woods, green grass, cured grass, brown loam, greywacke, clear deep water,
roofs and asphalt, fresh volcanic ash, settled snow, and the top of a thick cloud."""


def spectrum(surface: str, wavelengths_um: Sequence[float]) -> NDArray[np.float32]:
    """(bands,) reflectance of one of SPECTRA, linear between the wavelengths that are given."""
    return np.interp(wavelengths_um, WAVELENGTHS_UM, SPECTRA[surface]).astype(np.float32)


def spectra(surfaces: Sequence[str], wavelengths_um: Sequence[float]) -> NDArray[np.float32]:
    """(surfaces, bands) reflectance."""
    return np.stack([spectrum(surface, wavelengths_um) for surface in surfaces])
