"""Small pairs on disk with planted laws: pits are bright squares in green ground, burns dark ones; quiet places differ
by noise alone."""

from pathlib import Path

import numpy as np

from pairs_files import PairsOnDisk

CLASSES = ("pit", "burn", "quiet")
BANDS = ("red", "nir", "swir1")
GREEN, PIT, BURN = (400, 3000, 1500), (2500, 2800, 3500), (500, 900, 1200)
SIDE = 16
WEST, SOUTH = -60.0, -8.0


def write_mines(folder: Path, *, counts=(48, 30), seed=0) -> dict:
    """Writes train.h5, val.h5 and places.csv; returns the table of a recipe that reads them.

    The last two pairs of val are of unknown class: a pit and a quiet place.
    """
    rng = np.random.default_rng(seed)
    files = PairsOnDisk(folder)
    for name, count in zip(("train", "val"), counts, strict=True):
        kind = np.arange(count) % 3
        if name == "val":
            kind[:-2] = rng.permutation(kind[:-2])
            kind[-2:] = 0, 2
        else:
            kind = rng.permutation(kind)
        x = np.array(GREEN)[None, None, :, None, None] + rng.normal(0, 60, (count, 2, 3, SIDE, SIDE))
        for i, k in enumerate(kind):
            if k < 2:
                side = int(rng.integers(5, 9))
                row, col = rng.integers(0, SIDE - side, 2)
                x[i, 1, :, row : row + side, col : col + side] += (np.array((PIT, BURN)[k]) - GREEN)[:, None, None]
        known = [CLASSES[k] for k in kind]
        known[-2:] = ["", ""] if name == "val" else known[-2:]
        places = [(WEST + i // 3 * 1.1, SOUTH + (i % 3) * 0.1) for i in range(count)]
        files.add(name, x.astype(np.int16), known, places)
    tasks = {"pit": "mining", "burn": "construction", "quiet": "no_change"}
    return {
        "name": "mines",
        "pairs": files.table(BANDS, validation_share=0.5, tasks=tasks),
        "train": {
            "kind": {"epochs": 8, "batch_size": 8, "net_arguments": {"place_px": 16, "channels": 8}},
            "vae": {"epochs": 4, "net_arguments": {"place_px": 16, "latents": 4, "base": 8}},
            "flow": {"epochs": 8, "batch_size": 8, "net_arguments": {"base": 8, "levels": 1, "steps": 4}},
            "direct": {"epochs": 6, "batch_size": 8, "net_arguments": {"base": 8, "levels": 1}},
        },
    }
