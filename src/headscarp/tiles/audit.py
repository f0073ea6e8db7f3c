"""Proves or disproves that a split leaks: does the context of a test pixel reach a training pixel?

Looks at rectangles and at codes near them, never at the whole raster, so that any size is audited in constant memory.
It judges geometry only: what lies in the bands (a landslide that two blocks share, a map made after the event) it
cannot see.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from headscarp.core.errors import SplitError
from headscarp.core.grid import Grid, true_cell_size_m
from headscarp.core.tile import Window
from headscarp.tiles.partition import PARTS, Part, Split

PAIRS = (("test", "train"), ("validation", "train"), ("test", "validation"))
VERDICTS = ("no leak", "context overlaps", "leak")

_PIECE_PX = 1024
_CHUNK = 256


@dataclass(frozen=True)
class PairAudit:
    """What one part sees of another.

    pixels: pixels of `part`. touched: share of them with a pixel of `other` in their context. tiles: rectangles of
    `part`. touched_tiles: those with such a pixel. min_distance_m: between the centres of their nearest pixels, on the
    ground; infinite where a part is empty. overlapping, identical: pairs of rectangles that share pixels, that are the
    same. verdict: one of VERDICTS.
    """

    part: str
    other: str
    pixels: int
    touched: float
    tiles: int
    touched_tiles: int
    min_distance_m: float
    overlapping: int
    identical: int
    verdict: str


@dataclass(frozen=True)
class AuditReport:
    """The verdict on a split for nets that see halo_px pixels to each side; the worst of its pairs decides."""

    halo_px: int
    halo_m: float
    buffer_px: int
    pairs: tuple[PairAudit, ...]
    verdict: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def audit(grid: Grid, split: Split, *, halo_px: int) -> AuditReport:
    """Whether any pixel of one part of a split stands in the context of a pixel of another, and how many do.

    grid: the stack's. halo_px: context that the net reads on each side; the context is a square. "no leak": no test
    pixel sees a training pixel, and so on for each of PAIRS. "context overlaps": some do, with the share. "leak":
    rectangles of two parts share pixels. Raises SplitError where the split is of another raster.
    """
    if tuple(grid.shape) != tuple(split.shape):
        raise SplitError(f"the split is of a raster of {split.shape} pixels, the grid has {tuple(grid.shape)}")
    cell_m = true_cell_size_m(grid)
    pairs = tuple(_audit_pair(split, pair, halo_px, cell_m) for pair in PAIRS)
    verdict = max((pair.verdict for pair in pairs), key=VERDICTS.index)
    halo_m = halo_px * max(cell_m)
    text = _text(split, pairs, verdict, f"{halo_px} px (about {halo_m:.0f} m)")
    return AuditReport(halo_px, halo_m, split.buffer_px, pairs, verdict, text)


def _audit_pair(split: Split, pair: tuple[str, str], halo_px: int, cell_m: tuple[float, float]) -> PairAudit:
    own, others = split.part(pair[0]), split.part(pair[1])
    own_code, other_code = (PARTS.index(name) + 1 for name in pair)
    near_px = max(halo_px, split.buffer_px + 1)
    pixels, touched, touched_tiles, nearest = 0, 0, 0, math.inf
    for part in own:
        touched_here = 0
        for piece in _pieces(part.window):
            codes = split.codes(piece.grow(near_px), sample=part.sample)
            mine = codes[near_px : near_px + piece.height, near_px : near_px + piece.width] == own_code
            pixels += int(mine.sum())
            theirs = codes == other_code
            if not (theirs.any() and mine.any()):
                continue
            seen = _seen(theirs, halo_px, near_px, piece)
            touched_here += int((mine & seen).sum())
            nearest = min(nearest, _distance_m(mine, theirs, near_px, cell_m))
        touched += touched_here
        touched_tiles += touched_here > 0
    overlapping, identical, apart_m = _rectangles(own, others, cell_m)
    share = touched / pixels if pixels else 0.0
    verdict = VERDICTS[2] if overlapping else VERDICTS[1] if touched else VERDICTS[0]
    distance = nearest if math.isfinite(nearest) else apart_m
    return PairAudit(*pair, pixels, share, len(own), touched_tiles, distance, overlapping, identical, verdict)


def _pieces(window: Window) -> Iterator[Window]:
    for row in range(window.row, window.row + window.height, _PIECE_PX):
        for col in range(window.col, window.col + window.width, _PIECE_PX):
            height, width = window.row + window.height - row, window.col + window.width - col
            yield Window(row, col, min(_PIECE_PX, height), min(_PIECE_PX, width))


def _seen(theirs: np.ndarray, halo_px: int, near_px: int, piece: Window) -> np.ndarray:
    """Pixels of the piece that have one of theirs within halo_px rows and columns: (height, width) bool."""
    extra = near_px - halo_px
    context = theirs[extra : theirs.shape[0] - extra, extra : theirs.shape[1] - extra]
    size = 2 * halo_px + 1
    along = ndimage.maximum_filter1d(context.view(np.uint8), size, axis=1)[:, halo_px : halo_px + piece.width]
    seen = ndimage.maximum_filter1d(along, size, axis=0)[halo_px : halo_px + piece.height]
    return np.asarray(seen, dtype=bool)


def _distance_m(mine: np.ndarray, theirs: np.ndarray, near_px: int, cell_m: tuple[float, float]) -> float:
    """The shortest way from one of my pixels to one of theirs, between centres."""
    height, width = mine.shape
    if mine.all():
        rows, cols = (np.arange(n) - near_px for n in theirs.shape)
        dy = np.maximum(np.maximum(-rows, rows - height + 1), 0) * cell_m[0]
        dx = np.maximum(np.maximum(-cols, cols - width + 1), 0) * cell_m[1]
        squares = (dy**2)[:, None] + (dx**2)
        return float(np.sqrt(squares[theirs].min()))
    ways = ndimage.distance_transform_edt(~theirs, sampling=cell_m)
    inner = ways[near_px : near_px + height, near_px : near_px + width]
    return float(inner[mine].min())


def _rectangles(own: tuple[Part, ...], others: tuple[Part, ...], cell_m: tuple[float, float]) -> tuple[int, int, float]:
    """Pairs of rectangles that overlap, that are the same, and the shortest way between any two, buffer left aside."""
    if not own or not others:
        return 0, 0, math.inf
    a, b = (np.array([(p.sample, *p.window) for p in parts], dtype=np.int64) for parts in (own, others))
    overlapping, identical, nearest = 0, 0, math.inf
    for start in range(0, len(a), _CHUNK):
        m = a[start : start + _CHUNK, None]  # (m, 1, 5) against (n, 5)
        same_sample = m[..., 0] == b[:, 0]
        gap_y = np.maximum(m[..., 1] - b[:, 1] - b[:, 3], b[:, 1] - m[..., 1] - m[..., 3]) + 1
        gap_x = np.maximum(m[..., 2] - b[:, 2] - b[:, 4], b[:, 2] - m[..., 2] - m[..., 4]) + 1
        overlapping += int((same_sample & (gap_y <= 0) & (gap_x <= 0)).sum())
        identical += int((m == b).all(axis=2).sum())
        ways = np.hypot(np.maximum(gap_y, 0) * cell_m[0], np.maximum(gap_x, 0) * cell_m[1])
        nearest = min(nearest, float(ways[same_sample].min(initial=math.inf)))
    return overlapping, identical, nearest


def _text(split: Split, pairs: tuple[PairAudit, ...], verdict: str, halo: str) -> str:
    meaning = {
        "no leak": f"no test or validation pixel has a training pixel within {halo}, no test pixel a validation one",
        "context overlaps": f"nets that see {halo} of context read pixels of other parts; scores may look too good. "
        "Take a blocked split with a buffer of at least that context",
        "leak": "rectangles of two parts share pixels; make the split again",
    }
    lines = [f"{split.kind} split, seed {split.seed}, buffer {split.buffer_px} px: {verdict}: {meaning[verdict]}."]
    for p in pairs:
        lines.append(
            f"{p.part} against {p.other}: {p.verdict}; {100 * p.touched:.3g} % of {p.pixels} pixels, "
            f"{p.touched_tiles} of {p.tiles} rectangles see {p.other} pixels; nearest {p.min_distance_m:.4g} m"
            + (f"; {p.overlapping} rectangles overlap, {p.identical} of them identical" if p.overlapping else "")
        )
    return "\n".join(lines)
