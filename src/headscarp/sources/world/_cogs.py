"""Writes simulated rasters as Cloud-Optimized GeoTIFFs that say that they are simulated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from headscarp.core.artefact import clear_os_errors
from headscarp.core.grid import Grid
from headscarp.sources.world._items import SIMULATED
from headscarp.sources.world.place import County

_BLOCK = 256


@dataclass(frozen=True)
class Site:
    """A county, the folder that its files go to, and the address under which that folder is served."""

    county: County
    folder: Path
    address: str

    def write(self, path: str, pixels: NDArray[Any], grid: Grid, nodata: float, *, nearest: bool = False) -> str:
        """Writes a file below the folder and returns its address."""
        write_cog(self.folder / path, pixels, grid, nodata=nodata, nearest=nearest)
        return f"{self.address}/{path}"


def write_cog(path: Path, pixels: NDArray[Any], grid: Grid, *, nodata: float, nearest: bool) -> None:
    """Writes (y, x) pixels, tiled and with overviews; nearest: overviews of codes, not of means. Raises OutputError."""
    with clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path,
            "w",
            driver="COG",
            width=grid.shape[1],
            height=grid.shape[0],
            count=1,
            dtype=pixels.dtype,
            crs=str(grid.crs),
            transform=grid.affine,
            nodata=nodata,
            compress="DEFLATE",
            level=4,
            predictor="YES",
            blocksize=_BLOCK,
            overview_resampling="NEAREST" if nearest else "AVERAGE",
        ) as file:
            file.write(pixels, 1)
            file.update_tags(SIMULATED=SIMULATED)


def shorten(pixels: NDArray[np.float32], digits: int) -> NDArray[np.float32]:
    """The same, rounded to so many binary digits after the first, so that files are small. digits: 1 to 22."""
    drop = np.uint32(23 - digits)
    half = np.uint32(1) << (drop - np.uint32(1))
    bits = pixels.astype(np.float32).view(np.uint32)
    # Nothing finite here is near the largest number, so rounding up cannot overflow into infinity.
    return np.where(np.isfinite(pixels), ((bits + half) >> drop << drop).view(np.float32), pixels)
