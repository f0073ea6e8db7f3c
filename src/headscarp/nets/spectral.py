"""Landslides as what stands out in indices and their change: the spectral methods, with nothing to learn and no labels.

Refuses to call its score a probability: it is the share of the ground that stands out less.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.batch import Batch
from headscarp.nets.net import Net, Output, Schedule, Statistics

QUANTILES = 1025
MOST_BANDS = 6
_PER_TILE = 4096


class Spectral(Net):
    """The rank of a pixel in each of some bands, the lowest of those counts, and its own rank is the score.

    So a pixel stands out where all bands say so that were seen there: bare soil is red, bright, and was neither before.
    Where a band is missing, such as a change under the clouds of one date, the others decide, and the pixel is ranked
    by the same bands of all the ground: fewer bands make no higher score. Ranks are taken by tables of quantiles that
    `settle` fits on the validation part; labels are not used. Before that, those of bands are of the normal
    distribution with mean and deviation of the training part, and the lowest is the score itself.
    """

    schedule = Schedule(epochs=0)
    needs_labels = False
    outputs = (Output("score"),)
    quantiles: torch.Tensor
    lowest: torch.Tensor

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        of: Sequence[str] | None = None,
        percentile: float = 95.0,
    ) -> None:
        """of: names of up to 6 continuous bands, "-ndvi_change" for one that falls on landslides; None: all that end in
        "_change". percentile: of the ground, from which on a pixel stands out. Raises StackError for a band that is not
        there, RecipeError for a percentile that cannot be and for more bands."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        names = [band.name for band in self.bands]
        there = [band.name for band in self.bands if band.kind == "continuous"]
        self.of = tuple([name for name in there if name.endswith("_change")] if of is None else of)
        unknown = [name for name in self.of if name.removeprefix("-") not in there]
        if unknown or not self.of:
            raise StackError(
                f"net 'spectral' reads {', '.join(unknown) or 'bands that end in _change'}, and the continuous bands "
                f"are {', '.join(there) or 'none'}; build the stack with that index, or name others: of = ..."
            )
        if len(self.of) > MOST_BANDS:
            raise RecipeError(
                f"net 'spectral' was given {len(self.of)} bands and reads at most {MOST_BANDS}; name fewer"
            )
        if not 0 <= percentile <= 100:
            raise RecipeError(f"percentile is {percentile}; it has to be from 0 to 100")
        self.percentile = float(percentile)
        self.own_threshold = self.percentile / 100
        plain = [name.removeprefix("-") for name in self.of]
        self.at = [names.index(name) for name in plain]
        self.signs = [-1.0 if name.startswith("-") else 1.0 for name in self.of]
        normal = torch.erfinv(torch.linspace(-1, 1, QUANTILES, dtype=torch.float64)[1:-1]) * 2**0.5
        normal = torch.cat([normal[:1], normal, normal[-1:]]).float()
        tables = [
            sign * statistics.mean[name] + statistics.std[name] * normal
            for name, sign in zip(plain, self.signs, strict=True)
        ]
        self.register_buffer("quantiles", torch.stack(tables))  # (bands, Q)
        # One table for each set of bands that a pixel may have, by the sum of 2^k over them.
        self.register_buffer("lowest", torch.linspace(0, 1, QUANTILES).repeat(2 ** len(tables), 1))

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"nothing": 0}: there is nothing to learn."""
        return {"nothing": batch.x.new_zeros((), requires_grad=True)}

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, 1, H, W): the share of the ground that stands out less, in [0, 1]; 0 where no band is there."""
        ranks = self._ranks(batch.x)  # (B, bands, H, W)
        there = torch.stack([ranks[:, k].isfinite().long() << k for k in range(len(self.of))]).sum(dim=0)
        least = ranks.nan_to_num(nan=torch.inf).amin(dim=1)
        score = torch.zeros_like(least)
        for which in torch.unique(there[there > 0]).tolist():
            here = there == which
            score[here] = rank(least[here], self.lowest[which])
        return score[:, None]

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fits the tables on pixels that count, up to 4096 evenly spread ones of each tile, the same in all bands."""
        found = []
        with torch.inference_mode():
            for batch in batches:
                counts = batch.valid if batch.y is None else batch.valid & (batch.y != UNLABELLED)
                for planes, where in zip(batch.x[:, self.at], counts, strict=True):
                    chosen = planes[:, where]
                    found.append(chosen[:, :: max(1, -(-chosen.shape[1] // _PER_TILE))])
            if not found:
                return
            values = self._signed(torch.cat(found, dim=1)[None, :, None])  # (1, bands, 1, n)
            for table, of_band in zip(self.quantiles, values[0], strict=True):
                _fit(table, of_band)
            ranks = torch.cat([rank(values[:, k], self.quantiles[k]) for k in range(len(self.of))])[:, 0]  # (bands, n)
            for which in range(1, len(self.lowest)):
                some = ranks[[k for k in range(len(self.of)) if which >> k & 1]]
                _fit(self.lowest[which], some.amin(dim=0))  # NaN where one of them is missing

    def arguments(self) -> dict[str, Any]:
        return {"of": list(self.of), "percentile": self.percentile}

    def _signed(self, planes: torch.Tensor) -> torch.Tensor:
        """(B, bands, H, W): higher where it looks more like a landslide; NaN where missing."""
        planes = planes.float() * planes.new_tensor(self.signs).view(1, -1, 1, 1)
        return torch.where(planes.isfinite(), planes, torch.nan)

    def _ranks(self, x: torch.Tensor) -> torch.Tensor:
        """(B, bands, H, W) in [0, 1], NaN where missing."""
        values = self._signed(x[:, self.at])
        return torch.stack([rank(values[:, k], self.quantiles[k]) for k in range(len(self.of))], dim=1)


def rank(values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Where values stand among rising quantiles, linear between them: 0 below all, 1 above all, NaN where missing."""
    last = len(table) - 1
    above = torch.searchsorted(table, values.contiguous()).clamp(1, last)
    low, high = table[above - 1], table[above]
    within = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return (above - 1 + within) / last


def _fit(table: torch.Tensor, values: torch.Tensor) -> None:
    """Fills a table with the quantiles of the values that are there, if any."""
    there = values[values.isfinite()].sort().values
    if len(there):
        table.copy_(there[torch.linspace(0, len(there) - 1, len(table)).round().long().to(there.device)])
