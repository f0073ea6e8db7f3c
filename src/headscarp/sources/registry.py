"""All sources of the data layer by name: the one visible dict.

A new source is one function from a Request to a stack or a table, and one line here.
"""

from headscarp.sources.arcgis import ARCGIS_FEATURES
from headscarp.sources.copernicus_dem import COPERNICUS_DEM
from headscarp.sources.landsat import LANDSAT
from headscarp.sources.ogc_features import OGC_FEATURES
from headscarp.sources.request import Source
from headscarp.sources.sentinel1 import SENTINEL1
from headscarp.sources.sentinel2 import SENTINEL2
from headscarp.sources.surveys import CGS_LANDSLIDES
from headscarp.sources.three_dep import THREE_DEP
from headscarp.sources.weather import WEATHER

SOURCES: dict[str, Source] = {
    "3dep": THREE_DEP,
    "copernicus-dem": COPERNICUS_DEM,
    "landsat": LANDSAT,
    "sentinel1": SENTINEL1,
    "sentinel2": SENTINEL2,
    "weather": WEATHER,
    "cgs-landslides": CGS_LANDSLIDES,
    "arcgis-features": ARCGIS_FEATURES,
    "ogc-features": OGC_FEATURES,
}
