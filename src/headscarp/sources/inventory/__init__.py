"""Inventories of landslides, whatever they come from, in one schema; and public sets of labelled chips as stacks."""

from headscarp.sources.inventory.cgs import read_cgs
from headscarp.sources.inventory.fields import Fields, normalise
from headscarp.sources.inventory.files import read_inventory, write_inventory
from headscarp.sources.inventory.landslide4sense import read_landslide4sense
from headscarp.sources.inventory.nasa import read_nasa
from headscarp.sources.inventory.schema import CAUSES, COLUMNS, Inventory, check_inventory
from headscarp.sources.inventory.sen12landslides import read_sen12landslides

__all__ = [
    "CAUSES",
    "COLUMNS",
    "Fields",
    "Inventory",
    "check_inventory",
    "normalise",
    "read_cgs",
    "read_inventory",
    "read_landslide4sense",
    "read_nasa",
    "read_sen12landslides",
    "write_inventory",
]
