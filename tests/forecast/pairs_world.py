"""Pairs of frames on disk with a planted rule: where a class has happened, one band of the second frame is higher."""

from pathlib import Path

import h5py
import numpy as np

CLASSES = ("dig", "fell", "flood")
BANDS = ("red", "nir", "swir1")


def write_pairs(folder: Path, *, counts=(48, 24), side=16, seed=0) -> dict:
    """Writes train.h5, val.h5 and places.csv; returns the table of a recipe that reads them."""
    rng = np.random.default_rng(seed)
    lines = ["sample_id,category,longitude,latitude,t0_start,t0_end,t1_start,t1_end"]
    for name, count in zip(("train", "val"), counts, strict=True):
        kind = np.arange(count) % 3
        x = rng.normal(1500, 60, (count, 2, 3, side, side))
        x[np.arange(count), 1, kind] += 900
        x = x.astype(np.int16)
        x[:, :, :, 0, 0] = 0
        ids = [f"{name}_{i}" for i in range(count)]
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["sample_id"], file["x"] = np.array(ids, "S20"), x
        for i, one in enumerate(ids):
            place = f"{-60 + i // 4 * 1.5},{-3 + (i % 2) * 0.1}"
            lines.append(f"{one},{CLASSES[kind[i]]},{place},2019-01-01,2019-12-31,2021-01-01,2021-12-31")
    (folder / "places.csv").write_text("\n".join(lines) + "\n")
    return {
        "name": "pairs",
        "pairs": {
            "table": "places.csv",
            "bands": list(BANDS),
            "scale": 0.0001,
            "no_data": 0.0,
            "files": [{"images": "train.h5", "part": "train"}, {"images": "val.h5", "part": "test"}],
        },
        "train": {"kind": {"epochs": 12, "batch_size": 12, "net_arguments": {"place_px": 16, "channels": 8}}},
    }
