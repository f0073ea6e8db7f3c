"""What a forecast says of pictures of the future: a trained predictor as the judge of a generator.

The generated picture stands as the newest frame behind what a place showed before, and the forecast is asked for its
hazards, causes, where it would slide and which traces it shows. Nothing is learned here: the forecast stays as it is.
Refuses forecasts that cannot read what the generator draws.
"""

from collections.abc import Sequence
from itertools import combinations

import torch

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD, CLOUD_CLASSES, REFLECTANCE, SERIES_DAYS
from headscarp.core.errors import RecipeError
from headscarp.nets.batch import Batch
from headscarp.nets.forecast import Forecast
from headscarp.nets.futures import FutureNet
from headscarp.nets.metadata import FEATURES
from headscarp.nets.places import cut_places

SAYS = ("hazards", "causes", "where", "traces")
"""What of a forecast is compared, each a probability."""
_NEWEST_DAY = -1.0
_MOST_DAYS = SERIES_DAYS / 2
_CLEAR = float(CLOUD_CLASSES.index("clear") + 1)


class ForecastJudge:
    """A forecast that reads the futures of a generator, and how far what it says of them is from what it says of what
    came after.

    The numbers of frames and of the cut-off count as they are on the mean in its training, so weather and position of
    a place have no say. Bands that the forecast reads and the generator does not have (radar) are missing. The
    cut-off is a day after the picture that is judged, and the frames before it are older by the days that the task
    took, half a year at most, since a forecast knows no older frames.
    """

    def __init__(self, forecast: Forecast, net: FutureNet) -> None:
        """forecast: is frozen, in place. Raises RecipeError where it cannot read what `net` draws."""
        _check(forecast, net)
        self.forecast = forecast.eval().requires_grad_(False)
        self.change = {name: i for i, name in enumerate(net.change)}
        self.at = {band.name: i for i, band in enumerate(net.bands)}
        self.optical = [i for i, band in enumerate(net.bands) if band.name in REFLECTANCE]

    def to(self, device: torch.device | str) -> "ForecastJudge":
        """The same judge, its forecast moved to a device in place."""
        self.forecast.to(device)
        return self

    def says(self, batch: Batch, picture: Batch, after: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the forecast says, by a name of SAYS: hazards (N, K), causes (N, C), where (N, p, p) and traces
        (N, L, p, p) of the places of the tiles, row by row.

        batch: as the generator is given it, pictures or series. picture: what `FutureNet.as_picture` makes of it.
        after: (B, K, H, W) the bands that change as they are after the task, NaN where that is not known.
        """
        said = self.forecast.outlook(self.seen(batch, picture, after))
        return {name: getattr(said, name) for name in SAYS}

    def crps(self, batch: Batch, picture: Batch, futures: Sequence[torch.Tensor], counts: torch.Tensor) -> torch.Tensor:
        """The sum over SAYS of the mean of `scores` over places where anything counts, a scalar. A generator wins it by
        futures that are as likely as what comes, and not by their mean."""
        scores, there = self.scores(batch, picture, futures, counts)
        return sum(((of * there).sum() / there.sum().clamp(min=1) for of in scores.values()), counts.new_zeros(()))

    def scores(
        self, batch: Batch, picture: Batch, futures: Sequence[torch.Tensor], counts: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """By a name of SAYS, the fair CRPS (Ferro 2014) of what is said of futures beside what is said of what came
        after, (N,) of places, the mean over numbers and pixels; of a single future its error. And (N,) where anything
        counts; elsewhere all is said alike.

        futures: bands after, (B, K, H, W) each. counts: (B, 1, H, W), 1 where it is known what came after. A score of
        one place may be below 0, on average it is not.
        """
        assert picture.after is not None
        known = (counts > 0) & torch.isfinite(picture.x[:, self.optical]).all(dim=1, keepdim=True)
        with torch.no_grad():
            truth = self.says(batch, picture, picture.after.masked_fill(~known, torch.nan))
        said = [self.says(batch, picture, made.masked_fill(~known, torch.nan)) for made in futures]
        pairs = list(combinations(said, 2))
        scores = {}
        for name, true in truth.items():
            nothing = torch.zeros_like(true)
            error = sum(((one[name] - true).abs() for one in said), nothing) / len(said)
            apart = sum(((one[name] - other[name]).abs() for one, other in pairs), nothing) / max(2 * len(pairs), 1)
            scores[name] = (error - apart).flatten(1).mean(dim=1)
        return scores, cut_places(known.float(), self.forecast.place_px).flatten(1).amax(dim=1) > 0

    def seen(self, batch: Batch, picture: Batch, after: torch.Tensor) -> Batch:
        """The frames that the forecast reads: those before, or the picture before, and the one after as the newest."""
        b, device = len(picture.x), picture.x.device
        before = batch.x if batch.x.ndim == 5 else batch.x[:, None]  # (B, T, C, H, W)
        slots = before.shape[1]
        newest = [self._plane(band, picture.x, after) for band in self.forecast.bands]
        older = [self._planes(band, before) for band in self.forecast.bands]
        x = torch.cat([torch.stack(older, dim=2), torch.stack(newest, dim=1)[:, None]], dim=1)
        days = batch.days if batch.days is not None else torch.zeros(b, slots, device=device)
        took = picture.x.new_full((b,), torch.nan) if picture.metadata is None else picture.metadata[:, 0]
        days = days + _NEWEST_DAY - torch.nan_to_num(took, nan=_MOST_DAYS).clamp(1.0, _MOST_DAYS)[:, None]
        there = torch.ones(b, slots, dtype=torch.bool, device=device) if batch.present is None else batch.present
        one = torch.ones(b, 1, dtype=torch.bool, device=device)
        metadata = torch.full((b, slots + 1, len(FEATURES)), torch.nan, device=device)
        metadata[..., list(self.forecast.columns)] = self.forecast.scales[:, 0]
        return Batch(
            x,
            picture.valid,
            tiles=picture.tiles,
            days=torch.cat([days, days.new_full((b, 1), _NEWEST_DAY)], dim=1),
            present=torch.cat([there, one], dim=1),
            metadata=metadata,
        )

    def _plane(self, band: Band, x: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """(B, H, W) a band of the frame after."""
        if band.name in self.change:
            return after[:, self.change[band.name]].float()
        if band.name == CLOUD:
            return torch.full_like(x[:, 0], _CLEAR)
        return self._planes(band, x[:, None])[:, 0]

    def _planes(self, band: Band, x: torch.Tensor) -> torch.Tensor:
        """(B, T, H, W) a band of frames (B, T, C, H, W); missing where the generator does not read it."""
        if band.name in self.at:
            return x[:, :, self.at[band.name]]
        return torch.full_like(x[:, :, 0], 0.0 if band.kind == "categorical" else torch.nan)


def _check(forecast: Forecast, net: FutureNet) -> None:
    """Raises RecipeError where a forecast cannot read what a generator draws."""
    read, drawn = [band.name for band in forecast.bands], ", ".join(net.change)
    unread = [name for name in net.change if name not in read]
    if unread:
        raise RecipeError(
            f"the generator draws {drawn}, and the forecast does not read {', '.join(unread)} ({', '.join(read)}); "
            "give a forecast that was trained on these bands, or leave forecast out"
        )
    held = {band.name for band in net.bands}
    needed = [b.name for b in forecast.bands if b.name in REFLECTANCE or not (b.optional or b.kind == "categorical")]
    missing = [name for name in needed if name not in held]
    if missing:
        raise RecipeError(
            f"the forecast reads {', '.join(missing)}, which the scenarios do not have ({', '.join(sorted(held))}); "
            "build scenarios with these bands, or give a forecast that was trained without them"
        )
    if abs(forecast.resolution_m - net.resolution_m) > 0.01 * net.resolution_m:
        raise RecipeError(
            f"the forecast was trained at {forecast.resolution_m:g} m and the scenarios are {net.resolution_m:g} m; "
            "give a forecast of the same ground resolution"
        )
