"""Pairs of frames as files, for worlds with planted rules: images in HDF5, places and classes in a table, and a recipe.

Tests of any room: `from pairs_files import PairsOnDisk`.
"""

from pathlib import Path

import h5py
import numpy as np


class PairsOnDisk:
    """Writes train.h5 and val.h5 one by one, then places.csv."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = ["sample_id,category,longitude,latitude,t0_start,t0_end,t1_start,t1_end"]

    def add(self, name: str, x: np.ndarray, classes: list[str], places: list[tuple[float, float]]) -> None:
        """x: (S, 2, C, y, x) int16. classes: "" where unknown. places: longitude and latitude."""
        ids = [f"{name}_{i}" for i in range(len(x))]
        with h5py.File(self.folder / f"{name}.h5", "w") as file:
            file["sample_id"], file["x"] = np.array(ids, "S20"), x
        for one, known, (longitude, latitude) in zip(ids, classes, places, strict=True):
            dates = "2019-01-01,2019-12-31,2021-01-01,2021-12-31"
            self.lines.append(f"{one},{known},{longitude},{latitude},{dates}")

    def table(self, bands: tuple[str, ...], **more: object) -> dict:
        """Writes places.csv; the table [pairs] of a recipe that reads it all."""
        (self.folder / "places.csv").write_text("\n".join(self.lines) + "\n")
        return {
            "table": "places.csv",
            "bands": list(bands),
            "scale": 0.0001,
            "no_data": 0.0,
            "files": [{"images": "train.h5", "part": "train"}, {"images": "val.h5", "part": "test"}],
            **more,
        }
