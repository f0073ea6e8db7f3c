"""Who reads scenarios for judging: what came, and beside it what a net draws. Refuses nets without red and near
infrared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.errors import BundleError
from headscarp.core.scenarios import AFTER, CHANGED
from headscarp.core.stack import LABEL
from headscarp.evaluation.suites import Suite, Suites, truth_rank
from headscarp.evaluation.tables import MetricRow
from headscarp.nets.futures import FutureNet
from headscarp.tiles.reader import TileReader
from headscarp.tiles.scenes import Places
from headscarp.tiles.splits import Split
from headscarp.tiles.tiling import whole_tile
from headscarp.train.cases import Case, cases_of, cases_of_all
from headscarp.train.drawn import drawn_futures
from headscarp.train.suiterows import CERTAIN, Apart, suite_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """A place under a task: before (K + 1, H, W), what came (F, K + 1, H, W), what the net drew (M, K + 1, H, W)."""

    before: Floats
    came: Floats
    said: Floats


class SuiteJudge:
    """Reads what came, and lays beside it what the net and its opponents say."""

    def __init__(self, stack: xr.Dataset, net: FutureNet, seed: int) -> None:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on the CPU
        self.stack, self.net, self.seed = stack, net, seed
        self.places = Places(stack, net.change)
        self.label = CHANGED if CHANGED in stack else LABEL
        if not {"red", "nir"} <= set(net.change):
            raise BundleError(
                f"the net makes {', '.join(net.change)}; suites are judged by NDVI, which needs red and nir among them"
            )
        self.red, self.nir = net.change.index("red"), net.change.index("nir")

    def cases(self, split: Split, part: str) -> list[Case]:
        """`cases_of`, less the places that no frame of a series shows."""
        return self._seen(cases_of(self.stack, split, part))

    def all_cases(self) -> list[Case]:
        """The same of the whole stack."""
        return self._seen(cases_of_all(self.stack))

    def _seen(self, cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if self.places.is_seen(case.samples[0])]

    def came(self, sample: int) -> Suite:
        """What a place looks like after its task."""
        bands = [self.stack[AFTER + name][sample].to_numpy() for name in self.net.change]
        changed = self.stack[self.label][sample].to_numpy() == 1
        return self.suite(np.stack([*bands, changed])[None], sample)

    def before(self, sample: int) -> Floats:
        """(K + 1, H, W) what it looked like before, changed nowhere; NaN where no frame of a series shows it."""
        bands = self.places.before(sample)
        return np.stack([*bands, np.zeros_like(bands[0])]).astype(np.float64)

    def of_net(self, cases: Sequence[Case], bands: Sequence[Band], *, samples: int, workers: int, name: str) -> Suites:
        """Suites of a net that makes them; of one without chance a single picture."""
        many = samples if self.net.by_chance else 1
        reader, (rows, cols) = TileReader(self.stack, bands), (self.stack.sizes["y"], self.stack.sizes["x"])
        tiles = [
            whole_tile((rows, cols), self.net.align, sample=case.samples[0], name=f"{case.place} {case.task}")
            for case in cases
        ]
        made = drawn_futures(self.net, reader, tiles, many, workers=workers, name=name)
        return [
            [(self.suite(pictures, s, likely), self.came(s)) for s in case.samples]
            for case, (pictures, likely) in zip(cases, made, strict=True)
        ]

    def rows(
        self, found: Mapping[str, Suites], cases: Sequence[Case], kind: str, part: str
    ) -> tuple[list[MetricRow], Apart]:
        """See `suite_rows`."""
        return suite_rows(found, cases, kind, part, identity=self._identity, seed=self.seed)

    def ranks(self, found: Mapping[str, Suites], cases: Sequence[Case]) -> dict[str, NDArray[np.int64]]:
        """By name, how often the changed area that came has each rank among the members, where it is uncertain."""
        ranks = {}
        for name, suites in found.items():
            rng, held = np.random.default_rng(self.seed), []
            chosen = [suites[i] for i, case in enumerate(cases) if case.task not in (*CERTAIN, "no_change")]
            for said, came in (pair for suite in chosen for pair in suite):
                held.append(truth_rank(said.area, float(came.area[0]), rng))
            if chosen:
                ranks[name] = np.bincount(held, minlength=len(chosen[0][0][0].pictures) + 1)
        return ranks

    def examples(self, suites: Suites, cases: Sequence[Case]) -> dict[str, Example]:
        """For each task the place of another region or number, in turn, so that not all are of one place."""
        found: dict[str, Example] = {}
        for task in dict.fromkeys(case.task for case in cases):
            of_task = [i for i, case in enumerate(cases) if case.task == task]
            i = of_task[len(found) * 5 % len(of_task)]
            found[task] = self._example(suites[i], cases[i])
        return found

    def alike(self, suites: Suites, cases: Sequence[Case], places: int = 4) -> dict[str, tuple[Example, ...]]:
        """For each uncertain task some places, far apart in the order of the stack."""
        found = {}
        for task in dict.fromkeys(case.task for case in cases if case.task not in CERTAIN):
            of_task = [i for i, case in enumerate(cases) if case.task == task]
            chosen = of_task[:: max(1, len(of_task) // places)][:places]
            found[task] = tuple(self._example(suites[i], cases[i]) for i in chosen)
        return found

    def _example(self, suite: Sequence[tuple[Suite, Suite]], case: Case) -> Example:
        came = np.concatenate([one.pictures for _, one in suite])
        return Example(self.before(case.samples[0]), came, suite[0][0].pictures)

    def _identity(self, suites: Sequence[tuple[Suite, Suite]], case: Case) -> float:
        said, before = suites[0][0], self.suite(self.before(case.samples[0])[None], case.samples[0])
        return float(np.abs(said.scored[:, :-1] - before.scored[:, :-1]).mean())

    def suite(self, pictures: NDArray[np.floating], sample: int, likely: NDArray[np.floating] | None = None) -> Suite:
        return Suite(np.asarray(pictures, np.float64), self.red, self.nir, self.places.seen(sample), likely)
