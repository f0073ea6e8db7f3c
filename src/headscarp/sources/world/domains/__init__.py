"""Simulated domains: places of seven classes in seven regions, as two satellites would see them, with the known law of
their landslides. No downloads, no real places."""

from headscarp.sources.world.domains.futures import after_days, draw_scene, simulate_future
from headscarp.sources.world.domains.regions import REGIONS, Region
from headscarp.sources.world.domains.simulate import Look, Site, draw_site, simulate_sample
from headscarp.sources.world.domains.stories import CLASSES

__all__ = [
    "CLASSES",
    "REGIONS",
    "Look",
    "Region",
    "Site",
    "after_days",
    "draw_scene",
    "draw_site",
    "simulate_future",
    "simulate_sample",
]
