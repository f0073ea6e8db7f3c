"""Runs a predictor over the tiles of one part of a split and counts what comes out; no whole map is ever held.

A predictor is anything that turns a batch into probabilities: a bundle's net, or a model on tables. It sees the same
tiles with the same context as everybody else.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from headscarp.core.blocks import Done, run_blocks
from headscarp.core.bundle import Bundle
from headscarp.core.calibration import calibration_from_json
from headscarp.core.tile import Tile, Window
from headscarp.evaluation.intervals import BlockScores
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.net import Net
from headscarp.tiles.reader import TileReader, make_batch

Predictor = Callable[[Batch], np.ndarray]
"""Batch -> (B, h, w) float32 probabilities, halo included; one for each square where it has `Squares`."""

Recode = Callable[[np.ndarray], np.ndarray]
"""Pixels (C, H, W) of a stack -> the same with the class codes that the predictor knows."""

PREVIEW_PX = 900


@dataclass(frozen=True)
class Squares:
    """What is predicted and counted once each. stride: side in pixels of a square, 1 for pixels themselves.

    labels: (h, w) uint8 labels of pixels -> (h / stride, w / stride) of squares, 255 where one does not count.
    """

    stride: int
    labels: Callable[[np.ndarray], np.ndarray]

    @staticmethod
    def of_net(net: Net) -> "Squares":
        """Those that a net is trained on."""
        return Squares(net.stride, lambda y: net.targets(torch.from_numpy(y)[None])[0].numpy())


PIXELS = Squares(1, lambda y: y)


@dataclass
class Preview:
    """A small picture of the whole raster: every `step`-th pixel's probability, and landslides wherever there is one.

    probability: (rows, cols) float32, NaN where nothing was predicted. labels: (rows, cols) uint8, 255 unlabelled.
    """

    step: int
    probability: np.ndarray
    labels: np.ndarray

    @staticmethod
    def of_shape(shape: tuple[int, int]) -> "Preview":
        step = max(1, -(-max(shape) // PREVIEW_PX))
        small = (-(-shape[0] // step), -(-shape[1] // step))
        return Preview(step, np.full(small, np.nan, np.float32), np.full(small, 255, np.uint8))

    def add(self, window: Window, probability: np.ndarray, labels: np.ndarray) -> None:
        """Puts what is known of a window into the picture; pixels with label 255 are left out."""
        rows, cols = np.nonzero(
            (labels != 255) & self._on(window.row, labels.shape[0])[:, None] & self._on(window.col, labels.shape[1])
        )
        at = (window.row + rows) // self.step, (window.col + cols) // self.step
        self.probability[at] = probability[rows, cols]
        self.labels[at] = np.where(self.labels[at] == 1, 1, labels[rows, cols])
        rows, cols = np.nonzero(labels == 1)
        self.labels[(window.row + rows) // self.step, (window.col + cols) // self.step] = 1

    def _on(self, first: int, count: int) -> np.ndarray:
        return (first + np.arange(count)) % self.step == 0


@dataclass
class PartScores:
    """What one predictor reached on one part: the fine histogram and the scores of each spatial block."""

    histogram: ScoreHistogram = field(default_factory=ScoreHistogram)
    blocks: BlockScores = field(default_factory=BlockScores)

    def merge(self, other: "PartScores") -> None:
        self.histogram.merge(other.histogram)
        self.blocks.merge(other.blocks)


def score_part(
    predictor: Predictor,
    reader: TileReader,
    tiles: Sequence[Tile],
    *,
    threshold: float = 0.5,
    block_px: int = 128,
    workers: int = 1,
    preview: Preview | None = None,
    recode: Recode | None = None,
    squares: Squares = PIXELS,
    label: str = "evaluate",
) -> PartScores:
    """Counts a predictor's probabilities over tiles, each pixel (or square) once, on so many threads.

    The reader's split decides which pixels count. block_px: side of the squares of ground that intervals resample; a
    square that the predictor gives one value belongs to that of its first pixel. The result does not depend on the
    number of threads or the order of tiles.
    """
    side = squares.stride
    local, everyone, lock = threading.local(), [], threading.Lock()

    def work(tile: Tile) -> Done:
        if not hasattr(local, "scores"):
            torch.set_num_threads(1) if workers > 1 else None
            local.scores = PartScores(blocks=BlockScores(threshold))
            with lock:
                everyone.append(local.scores)
        pixels = reader.read(tile)
        inner = (slice(tile.halo, tile.halo + tile.window.height), slice(tile.halo, tile.halo + tile.window.width))
        labels = pixels.y[inner]
        pixels = pixels if recode is None else replace(pixels, x=recode(pixels.x))
        if not (labels != 255).any():
            return Done("")
        own = tuple(slice(part.start // side, part.stop // side) for part in inner)
        probability, wanted = predictor(make_batch([pixels], [tile]))[0][own], squares.labels(labels)
        local.scores.histogram.update(probability, wanted)
        local.scores.blocks.update(_ground_blocks(tile, wanted.shape, side, block_px), probability, wanted)
        if preview is not None:
            with lock:
                preview.add(tile.window, probability.repeat(side, axis=0).repeat(side, axis=1), labels)
        return Done("")

    threads = torch.get_num_threads()
    try:
        run_blocks(work, tiles, workers=workers, label=label)
    finally:
        torch.set_num_threads(threads)
    total = PartScores(blocks=BlockScores(threshold))
    for scores in everyone:
        total.merge(scores)
    return total


class NetPredictor:
    """A net with its calibration, as a predictor; safe to call from several threads.

    kept: a folder where what the net says of a tile is laid down, halo left out, and found when it is asked again.
    """

    def __init__(
        self, net: Net, calibration: Callable[[np.ndarray], np.ndarray] | None = None, *, kept: Path | None = None
    ) -> None:
        self.net = net.eval()
        self.calibration, self.kept = calibration, kept

    @staticmethod
    def of_bundle(bundle: Bundle, *, kept: Path | None = None) -> "NetPredictor":
        return NetPredictor(net_from_bundle(bundle), calibration_from_json(bundle.calibration).apply, kept=kept)

    @property
    def gives_probabilities(self) -> bool:
        """Whether its first output is a probability, and no rank or other score."""
        return self.net.outputs[0].name == "probability"

    def __call__(self, batch: Batch) -> np.ndarray:
        probability = self._asked(batch) if self.kept is None or len(batch.tiles) != 1 else self._found(batch)
        return probability if self.calibration is None else self.calibration(probability)

    def _found(self, batch: Batch) -> np.ndarray:
        """What is kept of the tile, 0 in its halo; asked and kept where that is nothing yet."""
        tile, side = batch.tiles[0], self.net.stride
        assert self.kept is not None
        path = self.kept / f"{tile.sample}-{tile.window.row}-{tile.window.col}.npy"
        sizes = (tile.window.height, tile.window.width)
        own = (slice(None), *(slice(tile.halo // side, (tile.halo + n) // side) for n in sizes))
        if not path.is_file():
            np.save(path, self._asked(batch)[own])
        whole = np.zeros((1, *(n // side for n in batch.x.shape[-2:])), np.float32)
        whole[own] = np.load(path)
        return whole

    def _asked(self, batch: Batch) -> np.ndarray:
        device = next((p.device for p in self.net.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            probability: np.ndarray = self.net.predict(batch.to(device))[:, 0].float().cpu().numpy()
        return probability


def _ground_blocks(tile: Tile, shape: tuple[int, int], side: int, block_px: int) -> np.ndarray:
    """(h, w) int64: which block of ground each square of so many pixels begins on, one number over the whole raster and
    all samples."""
    rows = (tile.window.row + side * np.arange(shape[0])) // block_px
    cols = (tile.window.col + side * np.arange(shape[1])) // block_px
    return (tile.sample * 1_000_000 + rows[:, None]) * 1_000_000 + cols[None, :]
