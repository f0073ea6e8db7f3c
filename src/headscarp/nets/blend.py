"""Maps of nets that see a whole window at once: windows of one size on one lattice, blended where they overlap.

The lattice hangs on row 0, column 0 of the raster, never on the tile that is asked for, so that any two tilings give
the same map: a pixel depends on the windows that cover it and on nothing else. Refuses nothing.
"""

from dataclasses import replace
from functools import partial

import torch

from headscarp.core.tile import Tile, Window
from headscarp.nets.batch import Batch
from headscarp.nets.windows import Run, Windows


def blend_windows(run: Run, batch: Batch, window_px: int, windows: Windows | None = None) -> torch.Tensor:
    """(B, K, H, W) float32: what `run` gives on windows of window_px x window_px, blended; 0 in the halo of a tile.

    Windows begin at multiples of 3/4 of their side and overlap by 1/4 of it. Over the overlap their weights rise and
    fall linearly, and sum up to 1. A window without a valid pixel in its own share, the middle that its neighbours do
    not cover, is left out where others cover the valid pixels, and their weights are scaled to 1; so a chip as large as
    a window is seen once, not with eight windows that are mostly mirrored. Without `batch.tiles` the first pixel is
    row 0, column 0. A batch no larger than a window is seen at once, as in training. Pixels of a tile's window are
    right where its halo is at least window_px - 1. windows: shared by the tiles of one raster, where there are several.
    """
    if max(batch.x.shape[-2:]) <= window_px:
        return run(batch)
    windows = windows or Windows()
    if not _placed(batch):  # all such tiles would seem to lie at row 0
        windows = Windows(windows.at_once, windows.room)
    return torch.cat([_blended(run, _one(batch, i), window_px, windows) for i in range(len(batch.x))])


def overlap_px(window_px: int) -> int:
    """How many pixels neighbouring windows share."""
    return window_px // 4


def profile(window_px: int, *, device: torch.device | str = "cpu") -> torch.Tensor:
    """(window_px,) weights along one side: up over the overlap, 1, and down; those of all windows sum up to 1."""
    overlap = overlap_px(window_px)
    ramp = (torch.arange(overlap, device=device) + 0.5) / overlap
    return torch.cat([ramp, torch.ones(window_px - 2 * overlap, device=device), ramp.flip(0)])


def _blended(run: Run, batch: Batch, side: int, shared: Windows) -> torch.Tensor:
    """(1, K, H, W) of a batch of one tile."""
    tile = _tile_of(batch)
    at, core = tile.read_window, tile.window
    along = profile(side, device=batch.x.device)
    weights = along[:, None] * along  # (side, side)
    own = slice(overlap_px(side), side - overlap_px(side))
    rows, cols = _starts(core.row, core.height, side), _starts(core.col, core.width, side)
    windows = [Window(row, col, side, side) for row in rows for col in cols]
    kept = {window for window in windows if _part(batch, window, at).valid[0, own, own].any()}
    total, weight = torch.zeros(0), torch.zeros(batch.valid.shape[1:], device=batch.x.device)

    def add(chosen: list[Window], wanted: torch.Tensor | None = None) -> None:
        """Adds what windows give to the pixels of the core, or of those to the ones that are wanted."""
        nonlocal total
        parts = {window: _overlap(window, at, core) for window in chosen}
        asked = {
            window: partial(_part, batch, window, at)
            for window, (_, here) in parts.items()
            if wanted is None or wanted[here].any()
        }
        for window, made in shared.run(run, asked, _tile_of(batch)).items():
            there, here = parts[window]
            if not len(total):
                total = made.new_zeros((len(made), *weight.shape))
            share = weights[there] if wanted is None else weights[there] * wanted[here]
            total[:, *here] += made[:, *there] * share  # two roundings at every pixel, wherever it lies in a tile
            weight[here] += share

    add([window for window in windows if window in kept])
    inside = torch.zeros_like(batch.valid[0])
    inside[_overlap(core, at, core)[1]] = True
    add([window for window in windows if window not in kept], inside & batch.valid[0] & (weight == 0))
    if not len(total):  # no valid pixel; any window says how many bands there are
        total = torch.zeros_like(run(_part(batch, windows[0], at))[0, :, :1, :1]).expand(-1, *weight.shape)
    return (total / torch.where(weight > 0, weight, 1.0))[None]


def _starts(first: int, length: int, side: int) -> range:
    """Where the windows of the lattice begin that touch the pixels from `first` on."""
    step = side - overlap_px(side)
    return range(((first - side) // step + 1) * step, first + length, step)


def _overlap(window: Window, at: Window, core: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a window meets a core that lies in a read window: rows and columns of the first, and of the last."""
    top, left = max(window.row, core.row), max(window.col, core.col)
    bottom = min(window.row + window.height, core.row + core.height)
    right = min(window.col + window.width, core.col + core.width)

    def within(outer: Window) -> tuple[slice, slice]:
        return slice(top - outer.row, bottom - outer.row), slice(left - outer.col, right - outer.col)

    return within(window), within(at)


def _part(batch: Batch, window: Window, at: Window) -> Batch:
    """The pixels of a window; those beyond what was read are mirrored, and not valid."""
    tile = Tile(window, sample=batch.tiles[0].sample if batch.tiles else 0)
    spans = (
        slice(window.row - at.row, window.row - at.row + window.height),
        slice(window.col - at.col, window.col - at.col + window.width),
    )
    if all(span.start >= 0 and span.stop <= size for span, size in zip(spans, at[2:], strict=True)):
        return Batch(x=batch.x[:, :, *spans], valid=batch.valid[:, *spans], tiles=(tile,))
    index = [_reflected(span, size, batch.x.device) for span, size in zip(spans, (at.height, at.width), strict=True)]
    (from_rows, on_rows), (from_cols, on_cols) = index
    x = batch.x[..., from_rows[:, None], from_cols]
    valid = batch.valid[..., from_rows[:, None], from_cols] & on_rows[:, None] & on_cols
    return Batch(x=x, valid=valid, tiles=(tile,))


def _reflected(span: slice, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of a span, reflected into 0 to size - 1 without repeating the edge, and which lay there already."""
    index = torch.arange(span.start, span.stop, device=device)
    there = (index >= 0) & (index < size)
    folded = index.abs() % max(2 * (size - 1), 1)
    return torch.minimum(folded, 2 * (size - 1) - folded).clamp(min=0), there


def _tile_of(batch: Batch) -> Tile:
    """The tile of a batch of one; where there is none, or it is of another size, one without a halo at row 0."""
    return batch.tiles[0] if _placed(batch) else Tile(Window(0, 0, *batch.x.shape[-2:]))


def _placed(batch: Batch) -> bool:
    """Whether the tiles of a batch say where its pixels lie."""
    return bool(batch.tiles) and batch.tiles[0].read_window[2:] == tuple(batch.x.shape[-2:])


def _one(batch: Batch, i: int) -> Batch:
    return replace(batch, x=batch.x[i : i + 1], valid=batch.valid[i : i + 1], y=None, tiles=batch.tiles[i : i + 1])
