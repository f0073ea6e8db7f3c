"""The verb explain: which bands a bundle leans on, by two methods that can disagree, and why it says so at one place.

Looks at sampled tiles of one part of the split, by default the test part, with all the context that the net needs.
Refuses stacks that do not fit the bundle, and places off the grid.
"""

import csv
import io
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.artefact import check_output, clear_os_errors, write_json, write_text
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError, HeadscarpWarning, SplitError
from headscarp.core.progress import progress
from headscarp.core.provenance import made_by
from headscarp.core.stack import LABEL, fingerprint, label_names, open_stack, stack_grid, with_label
from headscarp.core.tile import Tile
from headscarp.evaluation.scoring import NetPredictor
from headscarp.explain.attribution import COMPLETE, Attribution, attribute
from headscarp.explain.permutation import skill_lost
from headscarp.explain.place import PlaceReasons, explain_place, pixel_of
from headscarp.nets.batch import Batch
from headscarp.nets.net import PixelNet
from headscarp.tiles.fits import Fit, check_fits, check_one_place
from headscarp.tiles.reader import TileReader, make_batch
from headscarp.tiles.splits import Split, read_split, split_from_json
from headscarp.tiles.tiling import halo_of, train_tiles

TILE_PX = 64
_NAMED = 3


@dataclass(frozen=True)
class BandReason:
    """What one band is to a net.

    strength: mean absolute contribution to the log-odds of a pixel. share: of all bands' strength. mean: the same with
    signs, so what the band adds on average. skill_lost: fall of the log-skill when the band is shuffled between tiles,
    the mean over repeats; low, high: the least and the most of them.
    """

    band: str
    strength: float
    share: float
    mean: float
    skill_lost: float
    low: float
    high: float


@dataclass(frozen=True)
class Explanation:
    """What explain found. bands: strongest first. completeness_error: of the sums of attributions, as a share of the
    change of the log-odds, over all tiles. skill: log-skill on these tiles before any band is shuffled."""

    net: str
    label: str
    part: str
    tiles: int
    completeness_error: float
    skill: float
    bands: tuple[BandReason, ...]
    place: PlaceReasons | None = None

    @property
    def text(self) -> tuple[str, ...]:
        """What a person wants to read first: what each method says, and where they part."""
        strong = [b.band for b in self.bands if b.strength > 0][:_NAMED]
        missed = [b.band for b in sorted(self.bands, key=lambda b: -b.skill_lost) if b.low > 0][:_NAMED]
        return (
            f"{self.net} leans most on {_listed(strong)} (integrated gradients, {self.tiles} tiles of the {self.part} "
            f"part). Its log-skill there is {self.skill:.3f}, and shuffling a band between tiles costs most of it for "
            f"{_listed(missed)}.",
            _difference(strong, missed),
            f"The attributions sum up to the change of the log-odds within {self.completeness_error:.2%}. A band that "
            "a net uses need not be a cause of landslides.",
        )


def explain(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    place: tuple[float, float] | None = None,
    split: Split | str | Path | None = None,
    label: str | None = None,
    part: str = "test",
    tiles: int = 12,
    steps: int = 16,
    repeats: int = 3,
    seed: int = 0,
    overwrite: bool = False,
) -> Explanation:
    """Ranks the bands of a bundle on a stack, and writes bands.csv and explanation.json into the folder `out`.

    place: x and y in the stack's CRS, or longitude and latitude; adds what each band says around it. split, label: as
    in `evaluate`. tiles: how many tiles of 64 cells of `part` are drawn, with the seed; all where there are fewer.
    steps: see `attribute`. repeats: how often tiles are dealt anew to shuffle a band. Memory is that of the tiles.
    Raises StackError, SplitError, BundleError for a net without a probability for each pixel, GridError for a place off
    the grid; warns where attributions do not sum up to within 1 %.
    """
    bundle = as_bundle(bundle)
    stack = stack if isinstance(stack, xr.Dataset) else open_stack(stack)
    folder = check_output(out, overwrite=overwrite)
    check_one_place(stack)
    fit = check_fits(bundle, stack)
    stack = with_label(stack, bundle.label if label is None and bundle.label in label_names(stack) else label)
    split = split_from_json(bundle.split) if split is None else split
    split = split if isinstance(split, Split) else read_split(split)
    at = None if place is None else pixel_of(stack_grid(stack), place)
    predictor = NetPredictor.of_bundle(bundle)
    net = predictor.net
    if not isinstance(net, PixelNet):
        raise BundleError(f"net {bundle.net!r} gives no probability for each pixel, so it cannot be explained so")
    reader = TileReader(stack, fit.bands, split=split)
    halo = halo_of(net)
    side = -(-TILE_PX // net.align) * net.align
    chosen = list(_drawn(reader, fit, train_tiles(split, part, size=side, halo=halo), tiles, seed))
    with progress("explain", len(chosen) + len(fit.bands) * repeats) as bar:
        found = []
        for batch in chosen:
            assert batch.y is not None
            found.append(attribute(net, batch, (batch.y[0] != 255).numpy(), steps=steps))
            bar.advance()
        chosen = [replace(batch, y=net.targets(batch.y)) for batch in chosen]  # type: ignore[arg-type]
        skill, falls = skill_lost(predictor, chosen, np.random.default_rng([seed, 1]), repeats=repeats, bar=bar)
    explanation = Explanation(
        net=bundle.net,
        label=str(stack.attrs.get("label", LABEL)),
        part=part,
        tiles=len(chosen),
        completeness_error=_completeness_error(found),
        skill=skill,
        bands=_reasons([band.name for band in fit.bands], found, falls),
        place=None if at is None else explain_place(predictor, net, reader, at, recode=fit.recode, steps=steps),
    )
    _write(explanation, folder, stack, seed=seed, steps=steps, repeats=repeats)
    return explanation


def _drawn(reader: TileReader, fit: Fit, tiles: tuple[Tile, ...], count: int, seed: int) -> Iterator[Batch]:
    """So many tiles that have a label, in random order, each a batch."""
    found = 0
    for i in np.random.default_rng([seed, 0]).permutation(len(tiles)):
        pixels = reader.read(tiles[i])
        if (pixels.y != 255).any() and found < count:
            found += 1
            yield make_batch([replace(pixels, x=fit.recode(pixels.x))], [tiles[i]])
    if not found:
        raise SplitError("no tile of that part holds a label; explain another part, or take another split")


def _completeness_error(found: list[Attribution]) -> float:
    changes = sum(abs(one.change) for one in found)
    error = sum(abs(one.error) for one in found) / changes if changes else 0.0
    if error > COMPLETE:
        warnings.warn(
            f"the attributions sum up to the change of the log-odds within {error:.1%} only; take more steps",
            HeadscarpWarning,
            stacklevel=3,
        )
    return error


def _reasons(names: list[str], found: list[Attribution], falls: np.ndarray) -> tuple[BandReason, ...]:
    strength = np.mean([one.strength for one in found], axis=0)
    mean = np.mean([one.total for one in found], axis=0)
    share = strength / max(strength.sum(), 1e-300)
    order = np.argsort(-strength, kind="stable")
    columns = zip(strength, share, mean, falls.mean(axis=1), falls.min(axis=1), falls.max(axis=1), strict=True)
    reasons = [BandReason(name, *map(float, row)) for name, row in zip(names, columns, strict=True)]
    return tuple(reasons[i] for i in order)


def _write(explanation: Explanation, folder: Path, stack: xr.Dataset, *, seed: int, steps: int, repeats: int) -> None:
    with clear_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    table = csv.DictWriter(text, list(BandReason.__dataclass_fields__), lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(band) for band in explanation.bands)
    write_text(folder / "bands.csv", text.getvalue())
    facts = {k: v for k, v in vars(explanation).items() if k not in ("bands", "place")}
    place = explanation.place.to_json() if explanation.place else None
    settings = {"net": explanation.net, "part": explanation.part, "steps": steps, "repeats": repeats}
    made = made_by("explain", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
    bands = [asdict(band) for band in explanation.bands]
    write_json(folder / "explanation.json", {**facts, "bands": bands, "place": place, "made": made})


def _difference(strong: list[str], missed: list[str]) -> str:
    """Where the two methods part, in words."""
    only_strong = [name for name in strong if name not in missed]
    only_missed = [name for name in missed if name not in strong]
    parts = []
    if only_strong:
        parts.append(
            f"{_listed(only_strong)}: strong, but hardly missed when shuffled, because another band says the same or "
            "the log-odds move where they decide nothing"
        )
    if only_missed:
        parts.append(f"{_listed(only_missed)}: missed more than the strength tells")
    return "The two methods differ. " + "; ".join(parts) + "." if parts else "Both methods name the same bands."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names or ["no band"])
