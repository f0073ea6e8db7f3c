"""Will it slide, when, how sure, and why: the frames of a place up to a cut-off date, its weather and position.

The net judges places, squares of ground; it does not say which pixel slides when, only where in a place a slide would
be. Refuses stacks without frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.domains import CAUSES, HORIZONS_DAYS, TRACES
from headscarp.core.errors import RecipeError, StackError
from headscarp.nets.batch import Batch
from headscarp.nets.borrowed import chosen_encoder
from headscarp.nets.cells import CELL_PX, Cells
from headscarp.nets.familiarity import Familiarity
from headscarp.nets.frames import DOWN, Seen
from headscarp.nets.hazard import Odds, probability_of, rates_of, survival_nll, within
from headscarp.nets.look import Look
from headscarp.nets.losses import cause_nll, nll
from headscarp.nets.metadata import FEATURES, metadata_columns
from headscarp.nets.net import Net, Output, Schedule, Statistics
from headscarp.nets.outlook import Outlook, Raw
from headscarp.nets.places import cut_places, join_places, repeat_places, spread_places
from headscarp.nets.pretrained import Pretrained
from headscarp.nets.temporal import encode_days
from headscarp.nets.traces import SIGHTS, trace_nll

_AT_ONCE = 16  # places
_FAR = 3.0  # scaled metadata beyond this count as this
_STRANGE = 0.05  # places more unlike training than all but this share of held-out ones are trusted less
_CAUSE_WEIGHT = 3.0  # of the mean over causes, so that what caused counts about as much as when
_WHERE_WEIGHT = 9.0  # about the likelihood of a slide of 25 pixels as that of one draw of its place
_TRACE_WEIGHT = 30.0  # of the mean over cells and traces
_PLACE_DROPOUT = 5.0  # times that of cells, at most a half: few places, and many numbers of each
_USUAL = -3.0  # raw rate that weight decay draws to


class Forecast(Net):
    """Frames through a small encoder, attention over time, joined with the numbers of each frame and of the cut-off.

    Each cell of 2 x 2 pixels gets a logarithm of how readily it slides. The rate of a place is their mean (of their
    exponentials) times a factor for each interval, and where it slides is their share, so that outlines of slides and
    times of events teach the same numbers; with few places, events alone are learned by heart.
    Hazards are discrete in time: a rate for each interval between horizons, so that none falls below a shorter one.
    Places of `place_px` see nothing beyond themselves, and their rates add up to that of a training tile. Calibration
    (power and shift of each horizon's odds), and the cloud of known places come from the validation part (`settle`).
    Confidence is 1 - 4 p (1 - p) of the longest horizon, less where a place is unlike those of the validation part:
    `familiarity` is the share of these that are as far off. Sources: Garnot and Landrieu (2020) for the attention,
    Christie et al. (2018) for joining metadata, Gensheimer and Narasimhan (2019) for the likelihood.
    """

    schedule = Schedule(
        "adam",
        3e-3,
        epochs=30,
        batch_size=16,
        weight_decay=1e-3,
        schedule="poly",
        average=0.99,
        context_px=0,
        sampling="uniform",
    )
    frames = "needed"
    judges_places = True
    outputs = (
        *(Output(f"hazard: {days} d") for days in HORIZONS_DAYS),
        Output("confidence"),
        Output("familiarity"),
        *(Output(f"cause: {cause}") for cause in CAUSES),
        Output("where"),
        *(Output(f"trace: {trace}") for trace in TRACES),
    )
    calibration: torch.Tensor
    scales: torch.Tensor

    def __init__(
        self,
        bands: Sequence[Band],
        *,
        resolution_m: float,
        statistics: Statistics,
        encoder: str = "ltae",
        weights: str | None = None,
        weights_licence: str = "",
        weights_source: str = "",
        weights_bands: str | Sequence[str] | None = None,
        frozen: bool = False,
        metadata: str = "all",
        leave_out: Sequence[str] = ("cloud", "cloud_share"),
        place_px: int = 64,
        channels: int = 16,
        dropout: float = 0.1,
        drop_frames: float = 0.5,
        sight: str = "cells",
        slots: int = 0,
    ) -> None:
        """encoder: a name of ENCODERS, or of timm. weights: of that one of timm: None from scratch, the path of a local
        file, or "imagenet" from the hub. weights_licence, weights_source: of that file, where it says nothing itself.
        weights_bands: what its first layer reads, a name of LAYOUTS or bands in order. frozen: it does not learn.
        metadata: "none", "position", "weather" or "all". leave_out: bands and numbers that are not read, such as
        "cloud" and "cloud_share"; then the net has to see clouds by itself. place_px: side of a place, a multiple of 8.
        channels: of the encoder, a multiple of 4. drop_frames: while training up to this share of a place's frames is
        hidden. sight: how the ground is looked at, "cells" of 2 x 2 pixels and their neighbours, or "pixels", each for
        itself and the whole place around it. slots: how many frames a place had in training at most, which a training
        fills in. Raises RecipeError for what cannot be, SourceError for weights that cannot be had."""
        super().__init__(bands, resolution_m=resolution_m, statistics=statistics)
        _check(place_px, channels, dropout, drop_frames)
        if sight not in SIGHTS:
            raise RecipeError(f"there is no sight {sight!r}; use one of {', '.join(SIGHTS)}")
        said = Pretrained(weights, weights_licence, weights_source)
        self.chosen = chosen_encoder(encoder, said, weights_bands, frozen=frozen)
        self.metadata, self.leave_out = metadata, tuple(leave_out)
        self.place_px, self.channels = int(place_px), int(channels)
        self.dropout, self.drop_frames, self.sight, self.slots = float(dropout), float(drop_frames), sight, int(slots)
        self.align = self.place_px
        self.read = [i for i, band in enumerate(self.bands) if band.name not in self.leave_out]
        read = [self.bands[i] for i in self.read]
        self.look = Look(read, statistics)
        self.encoder, self.pretrained = self.chosen.make(
            self.look, read, channels=self.channels, place_px=self.place_px
        )
        self.columns = metadata_columns(metadata, leave_out=self.leave_out)
        still = [k for k, i in enumerate(self.columns) if not FEATURES[i].of_frame]
        self.still = still
        scales = [statistics.metadata.get(FEATURES[i].name, (0.0, 1.0)) for i in self.columns]
        self.register_buffer("scales", torch.tensor(scales, dtype=torch.float32).reshape(len(scales), 2))
        wide = 2 * self.channels
        self.of_frame = nn.Linear(2 * len(self.columns), self.channels) if self.columns else None
        told = 2 * len(still) + self.look.of_summary
        self.of_place = nn.Sequential(
            nn.Linear(told, wide), nn.ReLU(), nn.Dropout(min(0.5, _PLACE_DROPOUT * self.dropout))
        )
        self.cells = Cells(
            self.channels + self.encoder.fine_channels,
            self.look.of_place,
            self.channels,
            wide,
            dropout=self.dropout,
            sight=sight,
        )
        self.rate = nn.Linear(wide, len(HORIZONS_DAYS))
        sees = self.cells.of_like + (wide + self.channels) + wide  # where it would slide, the whole, and its numbers
        self.cause = nn.Sequential(
            nn.Linear(sees, wide), nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(wide, len(CAUSES))
        )
        self.familiar = Familiarity(wide + self.channels)
        self.odds = Odds(len(HORIZONS_DAYS))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))  # moved where the prevalence is another one

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """{"survival", "cause", "where", "trace"}: of the next event; of the causes of known events; of the pixels of
        places that slide within the longest horizon; of what cells show. What is unknown does not count."""
        assert batch.y is not None
        raw = self._raw(self._hidden(batch))
        b = len(batch.x)
        event_days = _known(batch.event_days, (b,), batch)
        rates = rates_of(raw.rate).view(b, -1, len(HORIZONS_DAYS))  # (B, n, K)
        share = rates.sum(-1, keepdim=True) / rates.sum(dim=(1, 2), keepdim=True)
        causes = (torch.sigmoid(raw.cause).view(b, -1, len(CAUSES)) * share).sum(dim=1)
        slides = event_days <= HORIZONS_DAYS[-1]
        y = torch.where(slides[:, None, None], batch.y, torch.full_like(batch.y, UNLABELLED))
        where = join_places(raw.where, tuple(batch.y.shape[-2:]))  # type: ignore[arg-type]
        mapped = None if batch.traces is None else cut_places(batch.traces, self.place_px)
        return {
            "survival": survival_nll(rates.sum(dim=1), event_days, HORIZONS_DAYS),
            "cause": _CAUSE_WEIGHT * cause_nll(causes, batch.causes),
            "where": _WHERE_WEIGHT * nll(where, y),
            "trace": _TRACE_WEIGHT * trace_nll(raw.traces, mapped),
        }

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, K, H, W): the numbers of each place over its pixels, and where in it a slide would be."""
        shape = (batch.x.shape[-2], batch.x.shape[-1])
        said = self.outlook(batch)
        of_place = torch.cat([said.hazards, said.confidence[:, None], said.familiarity[:, None], said.causes], dim=1)
        of_pixels = torch.cat([said.where[:, None], said.traces], dim=1)
        return torch.cat([spread_places(of_place, shape, self.place_px), join_places(of_pixels, shape)], dim=1)

    def outlook(self, batch: Batch) -> Outlook:
        """What the net says of each place of the tiles, row by row."""
        raw = self._raw(batch)
        power, shift = self.calibration.unbind()
        cumulated = self.odds(rates_of(raw.rate.float()).cumsum(dim=1))
        hazards = probability_of(torch.exp(shift) * cumulated**power)
        familiarity = self.familiar(raw.embedding)
        last = hazards[:, -1]
        sure = 1 - 4 * last * (1 - last)
        confidence = sure * (familiarity / _STRANGE).clamp(max=1)
        causes, where = torch.sigmoid(raw.cause), torch.sigmoid(raw.where)
        traces = torch.sigmoid(raw.traces).repeat_interleave(CELL_PX, -2).repeat_interleave(CELL_PX, -1)
        return Outlook(hazards, causes, where, traces, confidence, familiarity, raw.attention)

    def counted(self, batch: Batch) -> torch.Tensor:
        """How many samples it is known of when their next event comes."""
        return (~torch.isnan(_known(batch.event_days, (len(batch.x),), batch))).sum()

    def judged(self, batch: Batch, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, K) probability of an event in the whole tile within each horizon, and whether it came."""
        p = predicted[:, : len(HORIZONS_DAYS), :: self.place_px, :: self.place_px].double()
        together = 1 - (1 - p.clamp(0, 1 - 1e-12)).log().sum(dim=(-2, -1)).exp()
        return together.float(), within(_known(batch.event_days, (len(batch.x),), batch), HORIZONS_DAYS)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Fits calibration and the cloud of known places on the validation part."""
        cumulated, labels, embeddings = [], [], []
        with torch.inference_mode():
            for batch in batches:
                raw = self._raw(batch)
                rates = rates_of(raw.rate).view(len(batch.x), -1, len(HORIZONS_DAYS)).sum(dim=1)
                cumulated.append(rates.cumsum(dim=1))
                labels.append(within(_known(batch.event_days, (len(batch.x),), batch), HORIZONS_DAYS))
                embeddings.append(raw.embedding)
        if cumulated:
            self.odds.fit(torch.cat(cumulated).clone(), torch.cat(labels).clone())
            self.familiar.fit(torch.cat(embeddings).clone())

    def arguments(self) -> dict[str, Any]:
        names = ("metadata", "place_px", "channels", "dropout", "drop_frames", "sight", "slots")
        return {
            **self.chosen.arguments(),
            "leave_out": list(self.leave_out),
            **{name: getattr(self, name) for name in names},
        }

    def _hidden(self, batch: Batch) -> Batch:
        """The batch with some frames hidden while training."""
        if not self.training or not self.drop_frames or batch.present is None:
            return batch
        share = self.drop_frames * torch.rand(len(batch.x), 1, device=batch.x.device)
        kept = torch.rand(batch.present.shape, device=batch.x.device) >= share
        return Batch(**{**vars(batch), "present": batch.present & kept})

    def _raw(self, batch: Batch) -> Raw:
        if batch.x.ndim != 5:
            raise StackError("the net forecast reads frames in time, and the stack has none; build domains")
        shape = (batch.x.shape[-2], batch.x.shape[-1])
        b, t = batch.x.shape[:2]
        present = torch.ones(b, t, dtype=torch.bool, device=batch.x.device) if batch.present is None else batch.present
        days = batch.days if batch.days is not None else torch.zeros(b, t, device=batch.x.device)
        numbers = self._numbers(batch)
        tokens = encode_days(days, self.channels)
        if self.of_frame is not None:
            tokens = tokens + self.of_frame(numbers.flatten(-2))
        x = cut_places(batch.x[:, :, self.read], self.place_px)  # (N, T, C, p, p)
        facts = tuple(repeat_places(v, shape, self.place_px) for v in (tokens, days, present))
        seen = self._seen(x, *facts)
        still = self.look.still(x, *facts[1:])
        numbers = repeat_places(numbers[:, 0, self.still].flatten(-2), shape, self.place_px)
        place = self.of_place(torch.cat([numbers, self.look.summary(still)], dim=1))
        ground = self.cells(seen, still, place)
        rate = _USUAL + ground.level + self.rate(place)
        embedding = torch.cat([seen.coarse.mean(dim=(-2, -1)), seen.coarse.amax(dim=(-2, -1)), seen.look], dim=1)
        cause = self.cause(torch.cat([ground.like, embedding, place], dim=1))
        return Raw(rate, cause, ground.where, ground.traces, embedding, seen.attention)

    def _seen(self, x: torch.Tensor, *facts: torch.Tensor) -> Seen:
        """What the encoder sees of places (N, T, C, p, p), a few at a time where nothing is learned, to save memory."""
        step = len(x) if self.training or torch.is_grad_enabled() else _AT_ONCE
        parts = []
        for start in range(0, len(x), max(step, 1)):
            piece = x[start : start + step]
            frames = piece.flatten(0, 1)
            encoded = self.look(frames)
            if self.encoder.reads is not None:
                encoded = torch.cat([encoded, self.encoder.reads(self.look.clear(frames))], dim=1)
            encoded = encoded.unflatten(0, piece.shape[:2])
            parts.append(self.encoder(encoded, *(fact[start : start + step] for fact in facts)))
        if len(parts) == 1:
            seen: Seen = parts[0]
            return seen
        return Seen(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Seen)))

    def _numbers(self, batch: Batch) -> torch.Tensor:
        """(B, T, M, 2): each number that is read, scaled, 0 where unknown, and a flag that tells whether it is."""
        b, t = batch.x.shape[:2]
        if batch.metadata is None:
            return batch.x.new_zeros(b, t, len(self.columns), 2)
        values = batch.metadata[..., list(self.columns)]
        scaled = ((values - self.scales[:, 0]) / self.scales[:, 1]).clamp(-_FAR, _FAR)
        return torch.stack([torch.nan_to_num(scaled), torch.isfinite(values).float()], dim=-1)


def _check(place_px: int, channels: int, dropout: float, drop_frames: float) -> None:
    for name, value, step in (("place_px", place_px, DOWN), ("channels", channels, 4)):
        if value < step or value % step:
            raise RecipeError(f"{name} is {value}; it has to be a multiple of {step}")
    for name, share in (("dropout", dropout), ("drop_frames", drop_frames)):
        if not 0 <= share < 1:
            raise RecipeError(f"{name} is {share}; it has to be at least 0 and below 1")


def _known(event_days: torch.Tensor | None, shape: tuple[int, ...], batch: Batch) -> torch.Tensor:
    return torch.full(shape, float("nan"), device=batch.x.device) if event_days is None else event_days
