"""Simulated worlds: a valley with a known law of landslides, and a region of any size. No downloads, no real places."""

from headscarp.sources.world.law import draw_landslides
from headscarp.sources.world.region import VENETO_SHAPE, simulate_bands, veneto_like
from headscarp.sources.world.valley import Valley, simulate_valley

__all__ = ["VENETO_SHAPE", "Valley", "draw_landslides", "simulate_bands", "simulate_valley", "veneto_like"]
