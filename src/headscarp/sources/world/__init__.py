"""Simulated worlds: a valley with a known law of landslides, a region of any size, and a county with scarps and
deposits and what satellites would see of it. No downloads, no real places."""

from headscarp.sources.world.clearsky import clear_look
from headscarp.sources.world.law import draw_landslides
from headscarp.sources.world.place import COUNTY_GRID, County, simulate_county
from headscarp.sources.world.region import VENETO_SHAPE, simulate_bands, veneto_like
from headscarp.sources.world.scenes import Holdings, write_scenes
from headscarp.sources.world.slides import Sizes, Slides, simulate_slides
from headscarp.sources.world.valley import Valley, simulate_valley

__all__ = [
    "COUNTY_GRID",
    "VENETO_SHAPE",
    "County",
    "Holdings",
    "Sizes",
    "Slides",
    "Valley",
    "clear_look",
    "draw_landslides",
    "simulate_bands",
    "simulate_county",
    "simulate_slides",
    "simulate_valley",
    "veneto_like",
    "write_scenes",
]
