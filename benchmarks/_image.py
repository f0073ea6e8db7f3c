"""A simulated aerial image of any size as a stack on disk, block by block, for benchmarks of detection.

Whole numbers from 0 to 255, as such images have them: fields and forest of three scales, bright scars where slides
are, and a border without an image. It makes no claim to look like a place.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine

from headscarp.core.band import Band
from headscarp.core.blocks import Done, run_blocks
from headscarp.core.grid import Grid
from headscarp.core.stack import VALID, complete_stack, create_stack
from headscarp.core.tile import Window, windows

CELL_M = 0.5
_BLOCK_PX, _TEXTURE_PX = 1024, 1031
_SLIDE_EVERY_PX = 640


@dataclass(frozen=True)
class _Block:
    window: Window

    @property
    def id(self) -> str:
        return f"r{self.window.row}-c{self.window.col}"


def write_image(path: Path, shape: tuple[int, int], *, bands: int, workers: int = 2, seed: int = 0) -> Path:
    """Writes the stack and returns its path. Memory is some blocks, whatever the shape."""
    named = [Band(f"band{i + 1}", "continuous", "1", "simulated") for i in range(bands)]
    grid = Grid(shape, Affine(CELL_M, 0, 500_000, 0, -CELL_M, 4_000_000), "EPSG:32654")
    arrays = create_stack(path, grid, [*named, Band(VALID, "mask", "1", "simulated")])
    textures = [_texture(np.random.default_rng([seed, i])) for i in range(bands)]

    def write(block: _Block) -> Done:
        window = block.window.clip(shape)
        there, scar = _there(window, shape), _scars(window, seed)
        for band, texture in zip(named, textures, strict=True):
            pixels = np.round(_tiled(texture, window) * (1 - scar) + 205 * scar).astype(np.float32)
            pixels[~there] = np.nan
            arrays[band.name][window.slices] = pixels
        arrays[VALID][window.slices] = there.astype(np.uint8)
        return Done("")

    run_blocks(write, [_Block(window) for window in windows(shape, _BLOCK_PX)], workers=workers, label="simulate")
    complete_stack(path, {"fingerprint": f"image {shape} {bands} {seed}"})
    return path


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Fields, crowns and grain: a plane that repeats without a seam, mean 95, deviation about 30."""
    from scipy.ndimage import gaussian_filter

    plane = np.full((_TEXTURE_PX, _TEXTURE_PX), rng.uniform(75, 115), np.float32)
    for width, amplitude in ((60, 22), (8, 16), (1.2, 9)):
        noise = gaussian_filter(rng.normal(size=plane.shape), width, mode="wrap")
        plane += (amplitude * noise / noise.std()).astype(np.float32)
    return plane.clip(4, 250)


def _tiled(texture: np.ndarray, window: Window) -> np.ndarray:
    rows, cols = (
        np.arange(a, a + n) % _TEXTURE_PX for a, n in ((window.row, window.height), (window.col, window.width))
    )
    return texture[rows[:, None], cols]


def _there(window: Window, shape: tuple[int, int]) -> np.ndarray:
    """All but a slanted border on the left, an eleventh of the image."""
    rows = np.arange(window.row, window.row + window.height)[:, None]
    return np.arange(window.col, window.col + window.width) >= shape[1] / 6 * (1 - rows / shape[0])


def _scars(window: Window, seed: int) -> np.ndarray:
    """(height, width) float32 in [0, 1]: one slide in each square of 640 px, of its own size, place and direction."""
    scar = np.zeros((window.height, window.width), np.float32)
    for cell_row in range(window.row // _SLIDE_EVERY_PX - 1, (window.row + window.height) // _SLIDE_EVERY_PX + 2):
        for cell_col in range(window.col // _SLIDE_EVERY_PX - 1, (window.col + window.width) // _SLIDE_EVERY_PX + 2):
            rng = np.random.default_rng([seed, cell_row + 9, cell_col + 9])
            at = (np.array([cell_row, cell_col]) + rng.random(2)) * _SLIDE_EVERY_PX - (window.row, window.col)
            long = min(rng.lognormal(np.log(30), 0.7), 250)
            wide, turn = long / rng.uniform(1.5, 4), rng.uniform(0, np.pi)
            rows, cols = (
                slice(max(0, int(a - 1.3 * long)), max(0, min(n, int(a + 1.3 * long) + 1)))
                for a, n in zip(at, scar.shape, strict=True)
            )
            y, x = np.arange(scar.shape[0])[rows, None] - at[0], np.arange(scar.shape[1])[cols] - at[1]
            along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
            inside = np.clip(4 * (1 - (along / long) ** 2 - (across / wide) ** 2), 0, 1).astype(np.float32)
            np.maximum(scar[rows, cols], inside, out=scar[rows, cols])
    return scar
