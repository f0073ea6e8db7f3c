"""Derivations of a DEM: plain arrays in, arrays out. Knows no torch, no files and no coordinate systems."""
