"""The verb ablate: what the skill of a forecast rests on, table by table, with less to read or with other numbers.

Every case is one named block of the one loop, so an ablation that was stopped goes on where it was. Cases of reading
ask the bundle as it is; those that are trained anew take its settings and its split. Refuses nets that do not judge
places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.core.artefact import check_output, clear_os_errors, write_json, write_text
from headscarp.core.band import UNLABELLED
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import RecipeError, SplitError
from headscarp.core.machine import cores
from headscarp.core.provenance import file_sha256, made_by
from headscarp.core.stack import fingerprint
from headscarp.evaluation.cases import AS_IT_IS, DELAYS_DAYS, TABLES, Case, cases_of
from headscarp.evaluation.casetable import Ablation, as_csv, summarised
from headscarp.evaluation.places import Floats, Truth, load_said, run_places, samples_of, save_said, truth_of
from headscarp.nets import net_from_bundle
from headscarp.nets.metadata import CHOICES
from headscarp.tiles.dataset import as_stack, cache_stack
from headscarp.tiles.fits import check_fits
from headscarp.tiles.series import with_delay
from headscarp.tiles.splits import Split, split_from_json
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.fit import fit
from headscarp.train.judging import LAW, judges_places

ANEW = ("metadata", "delay", "clouds")
"""Tables whose nets are trained anew."""
CSV_NAME = "cases.csv"
CONSTANT = "constant"
TELLS_OF_CLOUDS = ("cloud", "cloud_share")


@dataclass(frozen=True)
class _Unit:
    """A case, and the arguments of the net that is trained for it; None: the bundle's own weights."""

    case: Case
    arguments: Mapping[str, Any] | None = field(default=None)

    @property
    def id(self) -> str:
        return self.case.id


def ablate(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    *,
    out: str | Path,
    part: str = "test",
    tables: Sequence[str] = (),
    anew: Sequence[str] = (),
    workers: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> Ablation:
    """Scores a bundle on a part of its split in every case of `cases_of`; writes cases.csv, made.json, what was said.

    tables: of TABLES, only these; none: all of them. anew: of ANEW. "metadata" trains a net that reads none of the
    numbers of frames, one that reads the position, one the weather and one all; "delay" one for each delay; "clouds"
    one that is not told where clouds are, or is. They are trained as the bundle was and kept in nets/. seed: of
    resamples and clouds. Raises RecipeError for a net that judges no places and for a bundle that does not tell how it
    was trained, SplitError for a part without samples, StackError where the stack does not fit.
    """
    bundle = as_bundle(bundle)
    if not judges_places(bundle):
        raise RecipeError(f"net {bundle.net!r} does not judge places over time; give a bundle of the net forecast")
    for table in tables:
        check_choice("table", table, TABLES)
    for table in anew:
        check_choice("table to train anew", table, ANEW)
    config = _config_of(bundle, anew)
    out = Path(out) if resume else check_output(out, overwrite=overwrite)
    stack = as_stack(stack)
    bands, split = check_fits(bundle, stack).bands, split_from_json(bundle.split)
    if not split.part(part):
        raise SplitError(f"the bundle's split has no part {part!r}; take another --part")
    truth = truth_of(stack, samples_of(split, part))
    with clear_os_errors(out):
        (out / "said").mkdir(parents=True, exist_ok=True)
    cached = cache_stack(stack, out / "cache")
    units = [_Unit(Case("", AS_IT_IS, cached)), *map(_Unit, cases_of(cached, bands, seed=seed))]
    units = [unit for unit in units if not tables or unit.case.table in ("", *tables)]
    units += _trained(bundle, cached, anew)
    settings = {"net": bundle.net, "part": part, "anew": list(anew), "cases": [unit.id for unit in units]}

    def work(unit: _Unit) -> Done:
        chosen = bundle
        if unit.arguments is not None:
            arguments = {**config.net_arguments, **unit.arguments}  # weights to begin with are in the first only
            own = replace(config, net_arguments=arguments, workers=workers or cores())
            folder = out / "nets" / unit.id
            folder.parent.mkdir(parents=True, exist_ok=True)
            chosen = fit(
                unit.case.stack, net=bundle.net, split=split, out=folder, config=own, cache=unit.case.stack, resume=True
            )
        said = run_places(
            net_from_bundle(chosen),
            unit.case.stack,
            split,
            part,
            bands=bands,
            workers=workers or 2,
            label=unit.case.name,
            given=unit.case.given,
        )
        return Done(file_sha256(save_said(said, _path(out, unit.id))))

    job = {"stack": fingerprint(stack), "weights": bundle.made, **settings}
    journal = Journal(out / "journal.jsonl", job, resume=resume)
    journal.keep(lambda unit, done: _path(out, unit).is_file() and file_sha256(_path(out, unit)) == done.checksum)
    run_blocks(work, units, journal=journal, workers=1, label="ablation")
    said = {(unit.case.table, unit.case.name): load_said(_path(out, unit.id)) for unit in units}
    ablation = summarised(bundle.net, part, said, truth, _known(stack, split, truth), seed=seed)
    write_text(out / CSV_NAME, as_csv(ablation.rows))
    made = made_by("ablate", settings=settings, inputs=[{"stack": fingerprint(stack)}], seed=seed)
    write_json(out / "made.json", {"made": made, "sentences": ablation.sentences})
    return ablation


def _config_of(bundle: Bundle, anew: Sequence[str]) -> FitConfig:
    """The settings that the bundle was trained with; only needed where something is trained anew."""
    settings = {name: value for name, value in bundle.made.get("settings", {}).items() if name != "net"}
    if anew and not settings:
        raise RecipeError("the bundle does not tell how it was trained, so nothing is trained anew; leave --anew out")
    for table, argument in {"metadata": "metadata", "clouds": "leave_out"}.items():
        if table in anew and argument not in bundle.arguments:
            raise RecipeError(f"net {bundle.net!r} has no argument {argument}; leave {table} out of --anew")
    return FitConfig.from_dict(settings)


def _trained(bundle: Bundle, stack: xr.Dataset, anew: Sequence[str]) -> list[_Unit]:
    """The cases that are trained anew; the bundle stands for the choice of metadata that is its own."""
    arguments, units = dict(bundle.arguments), []
    if "metadata" in anew:
        for choice in CHOICES:
            own = choice == arguments["metadata"]
            units.append(_Unit(Case("metadata", choice, stack), None if own else {**arguments, "metadata": choice}))
    if "clouds" in anew:
        told = not set(TELLS_OF_CLOUDS) & set(arguments["leave_out"])
        others = {**arguments, "leave_out": list(TELLS_OF_CLOUDS) if told else []}
        units.append(_Unit(Case("clouds", f"{'not ' if told else ''}told of clouds, trained so", stack), others))
    if "delay" in anew:
        for days in DELAYS_DAYS:
            units.append(_Unit(Case("delay", f"{days:g} days, trained so", with_delay(stack, days)), arguments))
    return units


def _known(stack: xr.Dataset, split: Split, truth: Truth) -> dict[str, Floats]:
    """What needs no net: the share of training samples, everywhere, and the law of a simulated world, where it tells
    all of the samples."""
    events = truth_of(stack, samples_of(split, "train")).events
    shares = (events == 1).sum(axis=0) / np.maximum((events != UNLABELLED).sum(axis=0), 1)
    found: dict[str, Floats] = {CONSTANT: np.tile(shares.astype(np.float64), (len(truth.sample), 1))}
    if LAW in stack.variables:
        law = stack[LAW].to_numpy().astype(np.float64)[truth.sample]
        found |= {LAW: law} if np.isfinite(law).all() else {}
    return found


def _path(out: Path, unit_id: str) -> Path:
    return out / "said" / f"{unit_id.replace('/', '-')}.npz"
