"""Pairs of frames on disk with a planted rule: where a class has happened, one band of the second frame is higher."""

from pathlib import Path

import numpy as np

from pairs_files import PairsOnDisk

CLASSES = ("dig", "fell", "flood")
BANDS = ("red", "nir", "swir1")


def write_pairs(folder: Path, *, counts=(48, 24), side=16, seed=0) -> dict:
    """Writes train.h5, val.h5 and places.csv; returns the table of a recipe that reads them."""
    rng = np.random.default_rng(seed)
    files = PairsOnDisk(folder)
    for name, count in zip(("train", "val"), counts, strict=True):
        kind = np.arange(count) % 3
        x = rng.normal(1500, 60, (count, 2, 3, side, side))
        x[np.arange(count), 1, kind] += 900
        x = x.astype(np.int16)
        x[:, :, :, 0, 0] = 0
        places = [(-60 + i // 4 * 1.5, -3 + (i % 2) * 0.1) for i in range(count)]
        files.add(name, x, [CLASSES[k] for k in kind], places)
    return {
        "name": "pairs",
        "pairs": files.table(BANDS),
        "train": {"kind": {"epochs": 12, "batch_size": 12, "net_arguments": {"place_px": 16, "channels": 8}}},
    }
