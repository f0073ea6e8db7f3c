"""Windows and tiles: where pixels are, never the pixels themselves."""

from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """A rectangle of pixels: first row and column, height and width. It may hang over the edge of the raster."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices; only meaningful for a window inside the raster."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def grow(self, pixels: int) -> "Window":
        """The window with `pixels` more on each side; negative shrinks."""
        return Window(self.row - pixels, self.col - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def clip(self, shape: tuple[int, int]) -> "Window":
        """The part of the window inside a raster of this (rows, columns); height or width 0 where there is none."""
        row, col = min(max(self.row, 0), shape[0]), min(max(self.col, 0), shape[1])
        bottom = min(max(self.row + self.height, row), shape[0])
        right = min(max(self.col + self.width, col), shape[1])
        return Window(row, col, bottom - row, right - col)


@dataclass(frozen=True)
class Tile:
    """A piece of work for a net: `window` is scored, `halo` pixels around it are context only.

    sample: index along the stack's `sample` dimension, 0 where there is none. split: "train", "validation", "test" or
    "" for prediction. id: stable name, unique within a split.
    """

    window: Window
    halo: int = 0
    sample: int = 0
    split: str = ""
    id: str = ""

    @property
    def read_window(self) -> Window:
        return self.window.grow(self.halo)


def windows(shape: tuple[int, int], size: int) -> list[Window]:
    """Non-overlapping `size` x `size` windows that cover a raster, row-major; the last ones hang over its edge.

    Origins are multiples of `size`, so any `align` that divides `size` holds.
    """
    return [Window(r, c, size, size) for r in range(0, shape[0], size) for c in range(0, shape[1], size)]
