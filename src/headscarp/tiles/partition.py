"""The split as a value: which rectangle of the raster belongs to which part, and the code of any pixel.

It holds rectangles, never a raster of codes: codes are filled in for the window that is asked for. Saved as GeoJSON
that any map shows. How splits are made stands in `splits`. Refuses to let a pixel be in two parts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS, Transformer

from headscarp.core.artefact import write_text
from headscarp.core.errors import SplitError
from headscarp.core.grid import Grid, grid_to_json
from headscarp.core.tile import Window

PARTS = ("train", "validation", "test")
NO_PART = 0
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """A rectangle of the raster in one part of a split.

    name: "train", "validation" or "test". fold: the fold it came from. positives: landslide pixels in it. sample: index
    along the stack's `sample` dimension.
    """

    window: Window
    name: str
    fold: int = 0
    positives: int = 0
    id: str = ""
    sample: int = 0


@dataclass(frozen=True)
class Split:
    """Which pixels train, which choose, which judge.

    kind: name in SPLITS. shape: rows and columns of the raster (of each sample). buffer_px: training and validation
    pixels up to this many rows and columns away from a test rectangle count for nothing, nor do training pixels so near
    to a validation rectangle. settings: how it was made, as plain values.
    """

    kind: str
    shape: tuple[int, int]
    parts: tuple[Part, ...]
    seed: int = 0
    buffer_px: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def codes(self, window: Window, *, sample: int = 0) -> np.ndarray:
        """The part of each pixel: (height, width) uint8, 0 none, 1 train, 2 validation, 3 test.

        The window may hang over the raster; there it is 0. The buffer is a square, as is what a convolution sees: a
        test pixel with buffer_px of context on each side sees no training pixel, corners included; so every pixel
        that is left is also further away than buffer_px in a straight line. Where rectangles of a
        hand-made split overlap, test wins over validation, and validation over train.
        """
        codes = np.zeros((window.height, window.width), np.uint8)
        for code, name in enumerate(PARTS, start=1):
            boxes = self._near(name, window, sample)
            if self.buffer_px and code > 1:
                _fill(codes, boxes, window, self.buffer_px, NO_PART)
            _fill(codes, boxes, window, 0, code)
        inside = window.clip(self.shape)
        if inside != window:
            whole, codes = codes, np.zeros_like(codes)
            place = Window(inside.row - window.row, inside.col - window.col, inside.height, inside.width).slices
            codes[place] = whole[place]
        return codes

    @property
    def samples(self) -> tuple[int, ...]:
        """The indices along `sample` that have parts."""
        return tuple(sorted({part.sample for part in self.parts}))

    def part(self, name: str) -> tuple[Part, ...]:
        """The rectangles of one part. Raises SplitError for an unknown name."""
        if name not in PARTS:
            raise SplitError(f"there is no part {name!r}; use one of {', '.join(PARTS)}")
        return tuple(part for part in self.parts if part.name == name)

    def _near(self, name: str, window: Window, sample: int) -> np.ndarray:
        boxes = self._boxes.get((sample, name), _NO_BOXES)
        top, left, bottom, right = boxes.T
        b = self.buffer_px
        rows = (top < window.row + window.height + b) & (bottom > window.row - b)
        return boxes[rows & (left < window.col + window.width + b) & (right > window.col - b)]

    @cached_property
    def _boxes(self) -> dict[tuple[int, str], np.ndarray]:
        """Top, left, bottom, right of the rectangles by sample and part: (n, 4)."""
        boxes: dict[tuple[int, str], list[tuple[int, int, int, int]]] = {}
        for part in self.parts:
            w = part.window
            box = (w.row, w.col, w.row + w.height, w.col + w.width)
            boxes.setdefault((part.sample, part.name), []).append(box)
        return {key: np.array(value, dtype=np.int64) for key, value in boxes.items()}


def split_to_json(split: Split) -> dict[str, Any]:
    """Plain values from which `split_from_json` makes the same split again; what a Bundle keeps."""
    return {
        **_header(split),
        "parts": [[*p.window, p.name, p.fold, p.positives, p.id, p.sample] for p in split.parts],
    }


def split_from_json(data: Mapping[str, Any]) -> Split:
    """The split that `split_to_json` wrote. Raises SplitError where something is missing."""
    try:
        parts = tuple(Part(Window(*map(int, row[:4])), *row[4:]) for row in data["parts"])
        return _split(data, parts)
    except (KeyError, TypeError, ValueError) as error:
        raise SplitError(f"this is not a split of Headscarp ({error!r}); make it again") from error


def write_split(split: Split, path: str | Path, grid: Grid | None) -> Path:
    """Writes a split as GeoJSON (RFC 7946), replacing what was there; its settings stand beside the features.

    grid: the stack's, for the outlines in longitude and latitude; None (samples that share no grid) gives no geometry.
    """
    rings = _rings_lonlat(split, grid) if grid is not None else [None] * len(split.parts)
    features = []
    for part, ring in zip(split.parts, rings, strict=True):
        properties = {
            "part": part.name,
            "fold": part.fold,
            "positives": part.positives,
            "window": list(part.window),
            "sample": part.sample,
        }
        geometry = None if ring is None else {"type": "Polygon", "coordinates": [ring]}
        features.append(json.dumps({"type": "Feature", "id": part.id, "properties": properties, "geometry": geometry}))
    header = json.dumps({"type": "FeatureCollection", **_header(split)}, indent=1)[:-2]
    return write_text(path, header + ',\n "features": [\n' + ",\n".join(features) + "\n ]\n}\n")


def read_split(path: str | Path) -> Split:
    """The split that `write_split` wrote; geometry is for maps, the windows count. Raises SplitError."""
    path = Path(path)
    if not path.is_file():
        raise SplitError(f"there is no split at {path}; training writes one as split.geojson into its folder")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("headscarp_split", 0) > FORMAT:
            raise SplitError(f"{path} was written by a newer Headscarp; update this one")
        parts = []
        for feature in data["features"]:
            p = feature["properties"]
            window = Window(*map(int, p["window"]))
            parts.append(Part(window, p["part"], p["fold"], p["positives"], feature.get("id", ""), p.get("sample", 0)))
        return _split(data, tuple(parts))
    except (KeyError, TypeError, ValueError) as error:
        raise SplitError(f"{path} is not a split of Headscarp ({error!r}); make it again") from error


_NO_BOXES = np.zeros((0, 4), np.int64)


def _fill(codes: np.ndarray, boxes: np.ndarray, window: Window, grow: int, code: int) -> None:
    origin = np.array([window.row + grow, window.col + grow, window.row - grow, window.col - grow])
    for top, left, bottom, right in np.maximum(boxes - origin, 0).tolist():
        codes[top:bottom, left:right] = code


def _header(split: Split) -> dict[str, Any]:
    return {
        "headscarp_split": FORMAT,
        "kind": split.kind,
        "shape": list(split.shape),
        "seed": split.seed,
        "buffer_px": split.buffer_px,
        "settings": dict(split.settings),
    }


def _split(data: Mapping[str, Any], parts: tuple[Part, ...]) -> Split:
    unknown = {part.name for part in parts} - set(PARTS)
    if unknown:
        raise SplitError(f"the split has unknown parts {', '.join(sorted(unknown))}; use {', '.join(PARTS)}")
    rows, cols = data["shape"]
    return Split(data["kind"], (rows, cols), parts, data["seed"], data["buffer_px"], dict(data["settings"]))


def _rings_lonlat(split: Split, grid: Grid) -> list[list[list[float]]]:
    """Closed rings, counterclockwise, 4 points a side so that outlines stay true where the projection bends."""
    t = np.linspace(0, 1, 4, endpoint=False)
    u = np.concatenate([0 * t, t, 0 * t + 1, 1 - t, [0.0]])
    v = np.concatenate([t, 0 * t + 1, 1 - t, 0 * t, [0.0]])
    windows = np.array([part.window for part in split.parts], dtype=float)  # (n, 4)
    rows = windows[:, :1] + v * windows[:, 2:3]
    cols = windows[:, 1:2] + u * windows[:, 3:4]
    a = grid.affine
    to_lonlat = Transformer.from_crs(CRS(grid_to_json(grid)["crs"]), CRS("EPSG:4326"), always_xy=True)
    lon, lat = to_lonlat.transform(a.c + cols * a.a, a.f + rows * a.e)
    rings: list[list[list[float]]] = np.stack([lon, lat], axis=2).round(8).tolist()  # (n, 17, 2)
    return rings
