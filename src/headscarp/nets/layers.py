"""Layers that turn bands into features: encoding, and alignment with the ground uphill.

Everything here is local: a pixel's features come from itself, or from a ring around it. No layer knows files, grids
or labels. `Encode` and `Align` are given bands as they stand in the stack and mend what is missing.
"""

import difflib
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from headscarp.core.band import NO_VALUE, Band, feature_names
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.net import Statistics
from headscarp.terrain.ring import LARGEST_RADIUS_PX, ring
from headscarp.terrain.uphill import uphill

_FLAT_M = 2.0
_ALIKE = 1e-3


class Encode(nn.Module):
    """Bands as features in the order of `feature_names`.

    Continuous bands: (x - mean) / std, 0 where missing; optional ones are followed by 1 where there, 0 where missing.
    Directions in degrees: cosine and sine, both 0 where missing.
    Categories: one plane per class, "no value" first; a code without a class counts as "no value".
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, bands: Sequence[Band], statistics: Statistics) -> None:
        """Raises StackError for a band that is no feature, and for one without mean and std."""
        super().__init__()
        self.bands = tuple(bands)
        for band in self.bands:
            if not band.is_feature:
                raise StackError(f"band {band.name!r} is a {band.kind}, but nets read features only; leave it out")
        self.names = feature_names(self.bands)
        scaled = [band.name for band in self.bands if band.kind == "continuous"]
        unknown = [name for name in scaled if name not in statistics.mean or name not in statistics.std]
        if unknown:
            raise StackError(f"mean and std of {', '.join(unknown)} are missing; take statistics of the same bands")
        self.register_buffer("mean", torch.tensor([float(statistics.mean[name]) for name in scaled]))
        self.register_buffer("std", torch.tensor([float(statistics.std[name]) for name in scaled]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, C, H, W) float32 bands. Returns (B, F, H, W) float32, finite everywhere."""
        planes, scaled = [], 0
        for i, band in enumerate(self.bands):
            values = x[:, i : i + 1]
            if band.kind == "continuous":
                planes.append(_finite((values - self.mean[scaled]) / self.std[scaled]))
                scaled += 1
                if band.optional:
                    planes.append(torch.isfinite(values).float())
            elif band.kind == "direction":
                radians = torch.deg2rad(values)
                planes += [_finite(torch.cos(radians)), _finite(torch.sin(radians))]
            else:
                planes.append(one_hot(values, len(band.classes)))
        return torch.cat(planes, dim=1)


class HeightAround(nn.Module):
    """How high each pixel stands among those up to 24 away, in their standard deviations: the foot of a slope is the
    same at the sea and on a plateau. Off the tile there is nothing, so windows at its edges are cut."""

    reach = 24
    floor: torch.Tensor

    def __init__(self, plane: int, std_m: float) -> None:
        """plane: of the elevation among the features. std_m: what it was divided by."""
        super().__init__()
        self.plane = plane
        self.register_buffer("floor", torch.tensor([(_FLAT_M / std_m) ** 2]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, H, W) -> (B, 1, H, W); about 0 where all around is within a metre or two."""
        return stands_among(features[:, self.plane : self.plane + 1].double(), self.reach, self.floor)


class StandsAround(nn.Module):
    """How chosen features, and their means over some nine pixels, stand among those up to 24 away, in standard
    deviations: what is steep or rocky here is gentle elsewhere. Windows are cut at the edges as those of heights."""

    reach = 28

    def __init__(self, planes: Sequence[int]) -> None:
        """planes: which of the features."""
        super().__init__()
        self.planes = list(planes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, H, W) -> (B, 2 P, H, W): of each plane, then of its mean; 0 where all around is alike."""
        z = features[:, self.planes].double()
        return stands_among(torch.cat([z, mean_within(mean_within(z, 2), 2)], dim=1), HeightAround.reach, _ALIKE)


def stands_among(z: torch.Tensor, pixels: int, floor: torch.Tensor | float) -> torch.Tensor:
    """(B, K, H, W) float32 how z, float64 since squares lose too much in float32, stands among those so many pixels to
    each side, in their standard deviations. floor: added to their variances."""
    mean = mean_within(z, pixels)
    spread = mean_within(z.square(), pixels) - mean.square()
    return ((z - mean) / (spread.clamp(min=0) + floor).sqrt()).float()


def mean_within(z: torch.Tensor, pixels: int) -> torch.Tensor:
    """(B, K, H, W) means over squares that reach so many pixels to each side, cut at the edges of the tile."""
    side = 2 * pixels + 1
    rows = nn.functional.avg_pool2d(z, (side, 1), 1, (pixels, 0), count_include_pad=False)
    return nn.functional.avg_pool2d(rows, (1, side), 1, (0, pixels), count_include_pad=False)


def one_hot(codes: torch.Tensor, classes: int) -> torch.Tensor:
    """(B, 1, H, W) float codes -> (B, 1 + classes, H, W) float32; NaN and codes without a class are "no value"."""
    known = (codes >= 0.5) & (codes < classes + 0.5)
    codes = torch.where(known, (codes + 0.5).floor(), float(NO_VALUE))
    planes = torch.arange(1 + classes, device=codes.device, dtype=codes.dtype)
    return (codes == planes.view(1, -1, 1, 1)).float()


class Align(nn.Module):
    """Chosen features read uphill: for each range, at the highest valid pixel on the ring of that radius.

    The radius in cells is range / resolution, rounded, at least 1. Ranges that fall on the same radius at a coarse
    resolution are kept apart, each one cell further than the one before: 30, 100, 300 m are 3, 10, 30 cells at 10 m;
    1, 3, 10 at 30 m; and 1, 2, 3 at 100 m. Invalid and missing pixels, mirrored ones and those off the tile never
    win; the first of equals in row order does. Where no ring pixel is above the centre (peaks, flats), and where the
    centre itself is invalid, all aligned features of that range are 0.
    Source: Hajimoradlou, Roberti and Poole (2019), arXiv 1911.04651.
    """

    def __init__(
        self,
        bands: Sequence[Band],
        aligned: Sequence[str],
        *,
        resolution_m: float,
        ranges_m: Sequence[float] = (30, 100, 300),
        elevation: str = "elevation",
        points: str = "full",
    ) -> None:
        """aligned: names of features. Raises RecipeError or StackError for names or ranges that cannot be."""
        super().__init__()
        kinds = {band.name: band.kind for band in bands}
        if kinds.get(elevation) != "continuous":
            raise StackError(
                f"alignment reads band {elevation!r}, which is not a continuous band among {', '.join(kinds)}; "
                "add it to the stack, or name the one that holds the elevation: elevation = ..."
            )
        names = feature_names(bands)
        self.aligned = tuple(aligned)
        self.chosen = tuple(_position(name, names) for name in self.aligned)
        if not self.chosen or len(set(self.chosen)) < len(self.chosen):
            raise RecipeError(f"{len(self.chosen)} features are aligned; name at least one, and each once")
        self.ranges_m = tuple(float(r) for r in ranges_m)
        self.elevation, self.points = elevation, points
        self.elevation_at = [band.name for band in bands].index(elevation)
        self.radii = radii_px(self.ranges_m, resolution_m)
        self.rings = tuple(ring(radius, points=points) for radius in self.radii)

    @property
    def reach(self) -> int:
        return max(self.radii)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the aligned features, range by range: "slope @ 30 m uphill", ..."""
        return tuple(f"{name} @ {metres:g} m uphill" for metres in self.ranges_m for name in self.aligned)

    def forward(self, x: torch.Tensor, valid: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """x: (B, C, H, W) bands, valid: (B, H, W), features: (B, F, H, W) encoded. Returns (B, R * A, H, W)."""
        b, _, h, w = features.shape
        source, above = self.find(x, valid)
        chosen = features[:, list(self.chosen)].flatten(2)  # (B, A, H * W)
        ranges = []
        for r in range(len(self.radii)):
            at = source[:, r].reshape(b, 1, h * w).expand(-1, chosen.shape[1], -1)
            gathered = torch.gather(chosen, 2, at).view(b, -1, h, w)
            ranges.append(gathered * above[:, r : r + 1])
        return torch.cat(ranges, dim=1)

    def find(self, x: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each pixel reads: flat pixel index (B, R, H, W) int64, and where that pixel is above it, bool."""
        elevation = x[:, self.elevation_at].detach().float()
        if elevation.device.type != "cpu":
            found = [highest_on_ring(elevation, valid, offsets) for offsets in self.rings]
        else:
            found = [self._find_on_cpu(elevation, valid, radius) for radius in self.radii]
        return torch.stack([at for at, _ in found], dim=1), torch.stack([above for _, above in found], dim=1)

    def _find_on_cpu(
        self, elevation: torch.Tensor, valid: torch.Tensor, radius: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        w = elevation.shape[2]
        here = np.arange(elevation.shape[1] * w).reshape(elevation.shape[1:])
        found = [
            uphill(z, radius, points=self.points, valid=v, threads=1)
            for z, v in zip(elevation.numpy(), valid.numpy(), strict=True)
        ]
        source = np.stack([here + f.drow.astype(np.int64) * w + f.dcol for f in found])
        return torch.from_numpy(source), torch.from_numpy(np.stack([f.above for f in found]))


def radii_px(ranges_m: Sequence[float], resolution_m: float) -> tuple[int, ...]:
    """Ranges in metres as distinct radii in cells, see `Align`. Raises RecipeError for one that cannot be."""
    if not ranges_m or any(b <= a for a, b in zip((0.0, *ranges_m), ranges_m, strict=False)):
        raise RecipeError(f"ranges_m is {tuple(ranges_m)}; give at least one range, rising, in metres")
    radii: list[int] = []
    for metres in ranges_m:
        radius = max(round(metres / resolution_m), 1, radii[-1] + 1 if radii else 1)
        if radius > LARGEST_RADIUS_PX:
            raise RecipeError(
                f"range {metres:g} m is {radius} cells of {resolution_m:g} m, but {LARGEST_RADIUS_PX} is the most; "
                f"use ranges_m up to {LARGEST_RADIUS_PX * resolution_m:g}, or a coarser stack"
            )
        radii.append(radius)
    return tuple(radii)


def highest_on_ring(
    elevation: torch.Tensor, valid: torch.Tensor, offsets: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as `headscarp.terrain.uphill`, on any device: shift and compare over a ring.

    elevation: (B, H, W) metres. valid: (B, H, W) bool. offsets: (n, 2) in row order. Returns the flat index of the
    pixel found, (B, H, W) int64, and whether it is above the centre, bool.
    """
    h, w = elevation.shape[1:]
    usable = valid & elevation.isfinite()
    centre = torch.where(usable, elevation, -torch.inf)
    radius = int(np.abs(offsets).max())
    padded = nn.functional.pad(centre, (radius,) * 4, value=-torch.inf)
    best = torch.full_like(centre, -torch.inf)
    shift = torch.zeros(centre.shape, dtype=torch.int64, device=centre.device)
    for drow, dcol in offsets.tolist():
        other = padded[:, radius + drow : radius + drow + h, radius + dcol : radius + dcol + w]
        higher = other > best
        best = torch.where(higher, other, best)
        shift = torch.where(higher, drow * w + dcol, shift)
    here = torch.arange(h * w, device=centre.device).view(1, h, w)
    return here + torch.where(usable, shift, 0), usable & (best > centre)


def _finite(values: torch.Tensor) -> torch.Tensor:
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _position(name: str, names: Sequence[str]) -> int:
    if name in names:
        return list(names).index(name)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    raise RecipeError(f"there is no feature {name!r} to align; the nearest is {near[0]!r}, one of {len(names)}")
