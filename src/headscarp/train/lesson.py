"""What a net is trained on and by which tiles: the ground, the lesson laid out on it, and the tiles of an epoch.

Refuses a split from which nothing can be learned. Reads labels only; pixels come with the batches.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from headscarp.core.errors import RecipeError, SplitError, StackError
from headscarp.core.samples import has_samples
from headscarp.core.stack import fingerprint
from headscarp.core.tile import Tile
from headscarp.nets import NETS
from headscarp.nets.net import Net
from headscarp.tiles.augment import Changes
from headscarp.tiles.reader import TileReader
from headscarp.tiles.sampling import epoch_tiles, tile_positives
from headscarp.tiles.series import has_frames
from headscarp.tiles.splits import PARTS, Split, split_to_json
from headscarp.tiles.tiling import halo_of, halo_within, train_tiles
from headscarp.train.config import FitConfig, Settings
from headscarp.train.unlabelled import with_all_counted

_SIZES_PX = (512, 256, 128)
_ENOUGH_TILES = 64


@dataclass(frozen=True)
class Ground:
    """What nets are trained on: a stack with labels, and its split."""

    stack: xr.Dataset
    split: Split

    def inputs(self) -> list[dict[str, str]]:
        """Stack and split as provenance names them."""
        split = hashlib.sha256(json.dumps(split_to_json(self.split)).encode()).hexdigest()
        stack = {"name": "stack", "fingerprint": fingerprint(self.stack)}
        stack |= {"label": self.stack.attrs["label"]} if "label" in self.stack.attrs else {}
        return [stack, {"name": "split", "fingerprint": split}]


@dataclass(frozen=True)
class Lesson:
    """What is learned from. reader: reads `training` and `validation`, each with its part of the split.

    positives: landslide pixels in each training tile, 0 where a net needs no labels. validation: all of its tiles, so
    at natural prevalence.
    """

    reader: TileReader
    training: Sequence[Tile]
    positives: Sequence[int]
    validation: Sequence[Tile]


def make_lesson(ground: Ground, net: Net, config: FitConfig) -> Lesson:
    """The tiles that a net learns from and is judged by. Raises SplitError where a part has no landslide,
    RecipeError for light on bands that have none."""
    changes_of(config.for_loop(net.schedule)).check(net.bands)
    size, halo = _size_and_context(ground.split, net, config)
    if has_samples(ground.stack):
        # Beyond a sample there is only its mirror, which counts for nothing.
        size = min(size, -(-max(ground.split.shape) // net.align) * net.align)
        halo = halo_within(halo, ground.stack, size)
    tiles = [train_tiles(ground.split, part, size=size, halo=halo) for part in PARTS[:2]]
    if not net.needs_labels:
        reader = TileReader(with_all_counted(ground.stack), net.bands, split=ground.split)
        return Lesson(reader, tiles[0], [0] * len(tiles[0]), tiles[1])
    positives = [tile_positives(ground.stack, of_part, split=ground.split) for of_part in tiles]
    for part, found in zip(PARTS, positives, strict=False):
        if not found.sum():
            raise SplitError(
                f"the {part} part of the split holds no landslide pixel, so there is nothing to learn from or to judge "
                "by; use smaller blocks, another seed or a larger stack"
            )
    reader = TileReader(ground.stack, net.bands, split=ground.split)
    return Lesson(reader, tiles[0], positives[0].tolist(), tiles[1])


def check_frames(net: Net | type[Net], stack: xr.Dataset) -> None:
    """Raises StackError where a net wants frames and the stack has none, or the other way round."""
    if has_frames(stack) and net.frames == "none":
        readers = ", ".join(name for name, kind in NETS.items() if kind.frames != "none")
        raise StackError(f"the stack has frames in time and this net reads one; take one, or a net of: {readers}")
    if not has_frames(stack) and net.frames == "needed":
        raise StackError("this net reads frames in time and the stack has none; build domains, or take another net")


def drawn_tiles(lesson: Lesson, settings: Settings, epoch: int) -> list[Tile]:
    """The training tiles of an epoch in their order, repeated as the sampling strategy says."""
    return epoch_tiles(lesson.training, lesson.positives, strategy=settings.sampling, seed=settings.seed, epoch=epoch)


def changes_of(settings: Settings) -> Changes:
    """How the training tiles of these settings are changed."""
    return Changes(settings.augment, settings.zoom, settings.light, tuple(settings.light_bands))


def _size_and_context(split: Split, net: Net, config: FitConfig) -> tuple[int, int]:
    """Side of a training tile and the context around it. Raises RecipeError where they are not the net's windows."""
    if net.window_px is not None:
        if config.tile_px not in (None, net.window_px):
            raise RecipeError(
                f"tile_px is {config.tile_px}, but this net sees windows of {net.window_px} px; set "
                f"net_arguments = {{ window_px = {config.tile_px} }} instead, or leave tile_px out"
            )
        return net.window_px, 0
    config = config.resolved(net.schedule)
    halo = _context(net, int(config.context_px or 0))
    size = config.tile_px or _tile_size(split, net, halo)
    return -(-size // net.align) * net.align, halo


def _context(net: Net, most_px: int) -> int:
    """Context pixels on each side of a training tile: the net's reach, but no more than the settings say."""
    return min(halo_of(net), -(-most_px // net.align) * net.align)


def _tile_size(split: Split, net: Net, halo: int) -> int:
    """The largest side that gives enough training tiles; small rasters get the smallest."""
    for size in _SIZES_PX[:-1]:
        whole = -(-size // net.align) * net.align
        if len(train_tiles(split, "train", size=whole, halo=halo)) >= _ENOUGH_TILES:
            return size
    return _SIZES_PX[-1]
