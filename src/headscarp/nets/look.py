"""What is looked at in frames: bands, indices that no light changes, and still pictures of them all.

An index of two bands stays the same in shade and in sun, so that what grows on a dark slope is not taken for what grows
on a bright one. Where the quality band is read, what it calls cloud or shadow is missing. The still pictures are
medians over frames, which clouds seldom reach: of all, and of the newer half beside the older one, so that what has
changed is seen at every pixel. Refuses nothing; what is not there is 0.
"""

import functools
from collections.abc import Sequence

import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD, CLOUD_CLASSES, REFLECTANCE
from headscarp.nets.layers import Encode
from headscarp.nets.net import Statistics

INDICES = {"ndvi": ("nir", "red"), "ndmi": ("nir", "swir1"), "nbr": ("nir", "swir2")}
"""(a - b) / (a + b) of two bands: green leaves, water in them, and what is left of them where it was burned or dug."""
RELIEF = "elevation"

_HIDDEN = [float(CLOUD_CLASSES.index(name) + 1) for name in ("cloud", "cloud shadow")]
_SCALE = 2.5  # indices are from -1 to 1; this makes them as wide as the scaled bands
_LEAST = 0.02  # of a sum of reflectances, below which an index is noise
_RELIEF_M = 100.0
_AROUND_PX = (5, 11)


class Look(nn.Module):
    """Features of frames and of still pictures: bands as `Encode` gives them, then the indices of bands that are there.

    names: of the features of a picture. of_place: how many features `still` gives. of_summary: how many `summary`.
    """

    usual: torch.Tensor
    wide: torch.Tensor

    def __init__(self, bands: Sequence[Band], statistics: Statistics) -> None:
        super().__init__()
        self.encode = Encode(bands, statistics)
        at = {band.name: i for i, band in enumerate(bands) if band.kind == "continuous"}
        self.pairs = {name: (at[a], at[b]) for name, (a, b) in INDICES.items() if a in at and b in at}
        self.relief = at.get(RELIEF)
        self.optical = [at[name] for name in REFLECTANCE if name in at]
        quality = [i for i, band in enumerate(bands) if band.name == CLOUD]
        self.quality = quality[0] if quality else None
        means = [statistics.mean[band.name] if band.kind == "continuous" else 0.0 for band in bands]
        self.register_buffer("usual", torch.tensor(means, dtype=torch.float32).view(-1, 1, 1))
        self.names = (*self.encode.names, *self.pairs)
        self.framed = [i for i, band in enumerate(bands) if band.kind == "continuous" and band.optional]
        stds = [statistics.std[band.name] if band.kind == "continuous" else 1.0 for band in bands]
        self.register_buffer("wide", torch.tensor(stds, dtype=torch.float32).view(-1, 1, 1))
        self.of_place = (
            2 * len(self.names)
            + len(_OVER_TIME) * (len(self.framed) + len(self.pairs))
            + (0 if self.relief is None else 1 + len(_AROUND_PX))
        )
        self.of_summary = self.of_place + len(self.names)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, C, p, p) bands. Returns (N, F, p, p), finite; a missing number counts as its mean in training."""
        x = self.clear(x)
        indices = [
            _SCALE * torch.nan_to_num(_index(x[:, a : a + 1], x[:, b : b + 1]) - _index(self.usual[a], self.usual[b]))
            for a, b in self.pairs.values()
        ]
        return torch.cat([self.encode(x), *indices], dim=1)

    def still(self, x: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """(N, of_place, p, p) of places: the median of all frames, what the newer half has more than the older one, the
        newest and the oldest value that is clear, their mean and deviation, how old the newest is and how many there
        are, and the lie of the ground: above the mean of the place (in 100 m), and hollows of two sizes.

        x: (N, T, C, p, p). days, present: (N, T), in any order. Where one half does not show a band, nothing changed.
        """
        whole, newer, older = medians(self.clear(x), days, present)
        known = torch.isfinite(newer) & torch.isfinite(older)
        change = self.forward(torch.where(known, newer, whole)) - self.forward(torch.where(known, older, whole))
        planes = [self.forward(whole), change, *over_time(self._in_time(x), days, present)]
        if self.relief is not None:
            elevation = whole[:, self.relief : self.relief + 1]
            planes.append(_relief(torch.where(torch.isnan(elevation), self.usual[self.relief], elevation)))
        return torch.cat(planes, dim=1)

    def _in_time(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, K, p, p) scaled bands that stand in frames and indices, NaN where missing. x: (N, T, C, p, p)."""
        x = self.clear(x)
        planes = [((x - self.usual) / self.wide)[:, :, self.framed]]
        for a, b in self.pairs.values():
            index = _index(x[:, :, a : a + 1], x[:, :, b : b + 1]) - _index(self.usual[a], self.usual[b])
            planes.append(_SCALE * index)
        return torch.cat(planes, dim=2)

    def summary(self, still: torch.Tensor) -> torch.Tensor:
        """(N, of_summary) numbers of whole places: means of the still pictures, and deviations of the first in them."""
        return torch.cat([still.mean(dim=(-2, -1)), still[:, : len(self.names)].std(dim=(-2, -1))], dim=1)

    def clear(self, x: torch.Tensor) -> torch.Tensor:
        """The bands (..., C, p, p), reflectance missing where the quality band, if it is read, says cloud or shadow."""
        if self.quality is None or not self.optical:
            return x
        hidden = torch.isin(x[..., self.quality, :, :], torch.tensor(_HIDDEN, dtype=x.dtype, device=x.device))
        x = x.clone()
        for i in self.optical:
            x[..., i, :, :].masked_fill_(hidden, torch.nan)
        return x


def medians(x: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The (lower) median over the frames that are there, over the newer half of them and over the older: three times
    (N, C, p, p), NaN where there is none. x: (N, T, C, p, p). days, present: (N, T), in any order.

    Of an even number the lower one counts, since clouds are bright.
    """
    with torch.no_grad():  # nothing is learned of pixels that were seen
        found = _medians(x, days, present)
    return tuple(_followed(x, median) for median in found) if _is_followed(x) else found


def _medians(x: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, ...]:
    frames, count = x.shape[1], present.sum(dim=1, keepdim=True)
    newest_first = torch.where(present, torch.nan_to_num(days), float("-inf")).argsort(
        dim=1, descending=True, stable=True
    )
    rank = torch.arange(frames, device=x.device).expand_as(newest_first)
    in_newer, in_older = rank < (count + 1) // 2, rank < count // 2
    oldest_first = newest_first.gather(1, (count - 1 - rank).clamp(min=0))
    if frames > _NETWORK_FRAMES or x.device.type != "cpu":
        x = torch.nan_to_num(x, nan=torch.nan, posinf=torch.nan, neginf=torch.nan)
        chosen = ((newest_first, in_newer), (oldest_first, in_older))
        halves = [_ordered(x, at).masked_fill(~kept[..., None, None, None], torch.nan) for at, kept in chosen]
        return tuple(part.nanmedian(dim=1).values for part in (torch.cat(halves, dim=1), *halves))
    newer = _sorted_planes(x, newest_first[:, : (frames + 1) // 2], in_newer)
    older = _sorted_planes(x, oldest_first[:, : frames // 2], in_older)
    none = torch.full_like(newer[0], torch.nan)
    return _merged_median(newer, older), _merged_median(newer, []), _merged_median(older, []) if older else none


_OVER_TIME = ("newest", "oldest", "mean", "deviation", "age", "count")


def over_time(x: torch.Tensor, days: torch.Tensor, present: torch.Tensor) -> list[torch.Tensor]:
    """What a pixel was over time, each (N, K, p, p) and 0 where it was never seen, in the order of _OVER_TIME.

    x: (N, T, K, p, p), NaN where missing. days, present: (N, T), in any order. age in 100 days, count in threes.
    """
    with torch.set_grad_enabled(_is_followed(x)):
        order = torch.where(present, torch.nan_to_num(days), float("-inf")).argsort(dim=1, stable=True)
        x, when, there = _ordered(x, order), torch.nan_to_num(days.gather(1, order)) / 100, present.gather(1, order)
        seen = (x.abs() < torch.inf) & there[:, :, None, None, None]
        held = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0) * there[:, :, None, None, None]
        last, first, count = (torch.zeros_like(seen[:, 0], dtype=torch.int16) for _ in range(3))  # from 1 on; 0: never
        for t, now in enumerate(seen.to(torch.int16).unbind(dim=1)):
            last, first = torch.maximum(last, now * (t + 1)), torch.maximum(first, now * (x.shape[1] - t))
            count += now
        newest, oldest = _at(held, last.long() - 1), _at(held, x.shape[1] - first.long())
        age = torch.cat([torch.zeros_like(when[:, :1]), when], dim=1).gather(1, last.flatten(1).long()).view_as(newest)
        many = count.clamp(min=1)
        mean = held.sum(dim=1) / many
        squares = torch.zeros_like(mean)
        for t in range(x.shape[1]):
            apart = (held[:, t] - mean).mul_(seen[:, t])
            squares.addcmul_(apart, apart)
        deviation = _root(squares / many)
        return [newest, oldest, mean, deviation, age, count / 3]


def _ordered(x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """(N, T, ...) -> (N, K, ...): the frames order (N, K) of each place."""
    rows = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1).index_select(0, (rows + order).flatten()).unflatten(0, order.shape)


def _at(x: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
    """(N, ...) of (N, T, ...), pixel by pixel the frame that is named; any where that is none of them."""
    return x.gather(1, frame.clamp(0, x.shape[1] - 1)[:, None])[:, 0]


def _sorted_planes(x: torch.Tensor, order: torch.Tensor, kept: torch.Tensor) -> list[torch.Tensor]:
    """The planes (N, C, p, p) of the frames in `order` (N, K) that are kept, each pixel from low to high; inf behind.

    A sorting network of whole planes, which is faster than sorting pixel by pixel the few frames that a place has.
    """
    planes = []
    hidden = torch.zeros(kept.shape, dtype=x.dtype, device=x.device).masked_fill_(~kept, torch.inf)
    for i in range(order.shape[1]):
        plane = _ordered(x, order[:, i : i + 1])[:, 0].nan_to_num_(torch.inf, torch.inf, torch.inf)
        planes.append(plane.add_(hidden[:, i, None, None, None]))
    for low, high in _exchanges(len(planes)):
        planes[low], planes[high] = torch.minimum(planes[low], planes[high]), torch.maximum(planes[low], planes[high])
    return planes


def _merged_median(a: list[torch.Tensor], b: list[torch.Tensor]) -> torch.Tensor:
    """The lower median of what two sorted lists of planes hold together, pixel by pixel; NaN where all of it is inf.

    The k-th of both is the least of max(a_i, b_j) over i + j = k. It is the median where 2 k - 1 or 2 k are there.
    """
    count = sum((plane < torch.inf).to(torch.uint8) for plane in (*a, *b))
    assert isinstance(count, torch.Tensor)
    found = torch.full_like(a[0], torch.nan)
    for k in range(1, (len(a) + len(b) + 1) // 2 + 1):
        pairs = [(i, k - i) for i in range(max(0, k - len(b)), min(k, len(a)) + 1)]
        most = [torch.maximum(a[i - 1], b[j - 1]) if i and j else a[i - 1] if i else b[j - 1] for i, j in pairs]
        found = torch.where(count > 2 * (k - 1), functools.reduce(torch.minimum, most), found)
    return found


def _is_followed(x: torch.Tensor) -> bool:
    """Whether something learns of these pixels: pictures that another net makes."""
    return torch.is_grad_enabled() and x.requires_grad


def _followed(x: torch.Tensor, median: torch.Tensor) -> torch.Tensor:
    """The same medians (N, ...), which move with the values of the frames (N, T, ...) that hold them."""
    holds = x.detach() == median[:, None]
    value = torch.where(holds, x, 0.0).sum(dim=1) / holds.sum(dim=1).clamp(min=1)
    return median + (value - value.detach())


def _root(x: torch.Tensor) -> torch.Tensor:
    """The square root, whose gradient is 0 where x is 0."""
    return x.sqrt() if not x.requires_grad else torch.where(x > 0, x.clamp(min=1e-12).sqrt(), 0.0)


_NETWORK_FRAMES = 32


@functools.cache
def _exchanges(count: int) -> tuple[tuple[int, int], ...]:
    """Which two to put in order, one after the other, so that so many are sorted: merge exchange, Batcher (1968) as in
    Knuth, The Art of Computer Programming 3, 5.2.2 M. 19 for 8, 127 for 24."""
    found = []
    most = 1 << (count - 1).bit_length() >> 1
    p = most
    while p:
        q, r, d = most, 0, p
        while True:
            found += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return tuple(found)


def _index(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a - b) / (a + b).clamp(min=_LEAST)).clamp(-1, 1)


def _relief(elevation: torch.Tensor) -> torch.Tensor:
    """(N, 1 + 2, p, p) from metres (N, 1, p, p): above the place's mean, and how far below the mean around each pixel,
    against the place's own spread of that."""
    above = elevation - elevation.mean(dim=(-2, -1), keepdim=True)
    planes = [(above / _RELIEF_M).clamp(-3, 3)]
    for side in _AROUND_PX:
        around = above
        for along in ((side, 1), (1, side)):
            margin = (along[0] // 2, along[1] // 2)
            around = nn.functional.avg_pool2d(around, along, 1, margin, count_include_pad=False)
        hollow = around - above
        planes.append(hollow / hollow.std(dim=(-2, -1), keepdim=True).clamp(min=0.1))
    return torch.cat(planes, dim=1)
