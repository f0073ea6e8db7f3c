"""Dossiers of sites that may have become mines: a self-contained page each, an index by rank, and GeoJSON.

A page shows what is known and by what it was told. "Unlicensed" is said against a layer of concessions and nowhere
else: an image shows no permit. Pages that are finished are kept when work is stopped.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headscarp.core.artefact import write_json
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import JournalError, StackError
from headscarp.core.provenance import describe_input
from headscarp.core.samples import stack_resolution_m
from headscarp.report.page import Page, Section, Table, write_page
from headscarp.report.sitepage import NO_PERMIT, SHOWN_TASKS, Layers, chance_text, known_of, site_page
from headscarp.report.sitepictures import draw_strip
from headscarp.sources.areas import Ground, Overlap, open_areas
from headscarp.train.measured import CHANGED_AT
from headscarp.train.minescores import ALL, CONSTANT, STACKS
from headscarp.train.mining import Evidence

INDEX, GEOJSON, PAGES = "index.html", "sites.geojson", "sites"
_JOURNAL = ".dossiers.journal"
_METRICS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "sensitivity_99": "sensitivity at specificity 0.99",
    "precision_at_prevalence": "precision at prevalence",
}


def open_layers(stack: Any, *, protected: str | Path | None, concessions: str | Path | None) -> Layers:
    """The layers, checked against the positions of a stack's sites before any long work. Raises StackError where the
    stack does not say where its sites are, SourceError for layers that will not do."""
    if protected is None and concessions is None:
        return Layers()
    if not {"latitude", "longitude"} <= set(stack.variables):
        raise StackError("the stack does not say where its sites are (latitude, longitude), so no area lies over them")
    lonlat = np.stack([stack[name].to_numpy() for name in ("longitude", "latitude")], axis=1)
    near = [(float(x), float(y)) for x, y in lonlat[np.isfinite(lonlat).all(axis=1)]]
    return Layers(
        None if protected is None else open_areas(protected, "protected areas", near),
        None if concessions is None else open_areas(concessions, "concessions", near),
    )


def write_dossiers(evidence: Evidence, out: str | Path, layers: Layers, *, resume: bool = False) -> Path:
    """Writes a page for each site, the index and the GeoJSON into a folder; returns the index.

    resume: keep the pages that an interrupted run of the same evidence and layers has finished.
    """
    out = Path(out)
    job = {
        "made": evidence.made,
        "sites": hashlib.sha256(json.dumps(evidence.names).encode()).hexdigest(),
        "layers": [describe_input(one.path) for one in (layers.protected, layers.concessions) if one is not None],
    }
    try:
        journal = Journal(out / _JOURNAL, job, resume=resume)
    except JournalError:  # of other layers or another ranking: pages are quick to write again
        journal = Journal(out / _JOURNAL, job)
    if not journal.done:
        for old in (out / PAGES).glob("*"):
            if old.suffix in (".html", ".png"):
                old.unlink()
    blocks = [_Block(k, _file_of(k, name)) for k, name in enumerate(evidence.names)]
    journal.keep(lambda block, _: (out / PAGES / f"{block}.html").is_file())
    done = run_blocks(_Work(evidence, layers, out), blocks, journal=journal, workers=1, label="dossiers")
    facts = [done[block.id].facts for block in blocks]
    write_json(
        out / GEOJSON,
        {"type": "FeatureCollection", "features": [_feature(evidence, k, one) for k, one in enumerate(facts)]},
    )
    return _write_index(evidence, layers, facts, [block.id for block in blocks], out)


@dataclass(frozen=True)
class _Block:
    rank: int
    id: str


@dataclass(frozen=True)
class _Work:
    """Draws and writes the page of one site."""

    evidence: Evidence
    layers: Layers
    out: Path

    def __call__(self, block: _Block) -> Done:
        evidence, k = self.evidence, block.rank
        site = evidence.site(k)
        names = evidence.tools.generator.change
        with torch.inference_mode():
            before, after = (
                dict(zip(names, site.cut(site.planes(of, names))[0].numpy(), strict=True))
                for of in (site.before, site.after)
            )
            changed = site.cut(site.magnitude())[0].numpy() >= CHANGED_AT
            futures = {
                task: dict(zip(names, site.picture(task, evidence.nearest[k][task])[0].numpy(), strict=True))
                for task in evidence.tools.tasks[:SHOWN_TASKS]
            }
        strip = draw_strip(self.out / PAGES / f"{block.id}-strip.png", before, after, changed, futures)
        facts = site_facts(evidence, k, changed, self.layers)
        page = write_page(site_page(evidence, k, facts, strip, self.layers), self.out / PAGES / f"{block.id}.html")
        return Done(hashlib.sha256(page.read_bytes()).hexdigest(), facts)


def site_facts(evidence: Evidence, k: int, changed: NDArray[np.bool_], layers: Layers) -> dict[str, Any]:
    """What is known of the k-th site beside its scores, as plain values: where, when, hectares.

    changed: (rows, columns) its changed cells. Hectares under protected areas and concessions only where there is such
    a layer and the site has a position.
    """
    stack, sample = evidence.stack, int(evidence.at[k])
    cell_m = stack_resolution_m(stack)
    facts: dict[str, Any] = {
        "site_ha": changed.size * cell_m**2 / 1e4,
        "changed_ha": float(changed.sum()) * cell_m**2 / 1e4,
        "dates": _dates(stack, sample),
        "ring": None,
    }
    position = [float(stack[n][sample]) if n in stack.variables else np.nan for n in ("longitude", "latitude")]
    if not np.isfinite(position).all():
        return facts
    ground = Ground(position[0], position[1], (changed.shape[0], changed.shape[1]), cell_m)
    facts |= {"longitude": position[0], "latitude": position[1]}
    facts["ring"] = np.round(np.asarray(ground.lonlat(ground.square).exterior.coords), 7).tolist()
    cells = ground.cells(changed)
    for name, areas in (("protected", layers.protected), ("concessions", layers.concessions)):
        if areas is None:
            continue
        whole, part = areas.over(ground), areas.over(ground, cells)
        facts |= _hectares(name, whole, part)
        if name == "concessions":
            facts["changed_outside_concessions_ha"] = max(0.0, (cells.area - part.area_m2) / 1e4)
    return facts


def _hectares(name: str, whole: Overlap, part: Overlap) -> dict[str, Any]:
    return {
        f"{name}_ha": whole.area_m2 / 1e4,
        f"changed_in_{name}_ha": part.area_m2 / 1e4,
        f"{name}_names": list(whole.names),
    }


def _dates(stack: Any, sample: int) -> list[str]:
    """The days that the pictures before and after are of, middles of composites; none where they are not told."""
    if not {"cutoff", "days"} <= set(stack.variables) or "time" not in stack["days"].dims:
        return []
    cutoff = np.datetime64(stack["cutoff"][sample].to_numpy(), "D")
    days = stack["days"][sample].to_numpy()
    if np.isnat(cutoff) or not np.isfinite(days).all():
        return []
    return [str(cutoff + np.timedelta64(round(float(day)), "D")) for day in (days[0], days[-1])]


def _feature(evidence: Evidence, k: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in facts.items() if key != "ring"}
    geometry = None if facts["ring"] is None else {"type": "Polygon", "coordinates": [facts["ring"]]}
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "rank": k + 1,
            "site": evidence.names[k],
            "page": f"{PAGES}/{_file_of(k, evidence.names[k])}.html",
            "chance": evidence.chance[k],
            "prevalence": evidence.prevalence,
            "known": known_of(evidence, k),
            "simulated": evidence.simulated,
            **told,
            **{f"score: {name}": values[k] for name, values in evidence.scores.items() if name != CONSTANT},
        },
    }


def _write_index(
    evidence: Evidence, layers: Layers, facts: Sequence[Mapping[str, Any]], files: Sequence[str], out: Path
) -> Path:
    more = [(name, f"changed_in_{name}_ha", f"changed in {name}, ha") for name in ("protected", "concessions")]
    more.append(("", "changed_outside_concessions_ha", "changed outside concessions, ha"))
    more = [one for one in more if any(one[1] in of for of in facts)]
    rows = []
    for k, of in enumerate(facts):
        chance = chance_text(evidence.chance[k])
        row = [f"{k + 1}  {evidence.names[k]}", f"{evidence.scores[ALL][k]:+.2f}", chance, f"{of['changed_ha']:.2f}"]
        row += [f"{of[key]:.2f}" if key in of else "-" for _, key, _ in more]
        rows.append((*row, str(evidence.part[k]) or "-", known_of(evidence, k) or "-"))
    heads = ("site", "log odds", "chance", "changed, ha", *(head for *_, head in more), "part", "known")
    links = tuple(f"{PAGES}/{file}.html" for file in files)
    unsaid = [] if layers.concessions is not None else [NO_PERMIT]
    sections = [*_judged_sections(evidence)]
    sections.append(Section("Sites, best first", tuple(unsaid), table=Table(heads, tuple(rows), links)))
    if evidence.lost:
        sections.append(Section("Not judged", table=Table(("site", "why"), evidence.lost)))
    notice = "SIMULATED places: nothing here is real." if evidence.simulated else ""
    return write_page(Page("Which of these are mines?", (evidence.text,), sections, notice, evidence.made), out / INDEX)


def _judged_sections(evidence: Evidence) -> list[Section]:
    if not evidence.rows:
        return []
    names = list(dict.fromkeys(row.net for row in evidence.rows if row.metric == "auroc"))
    found = {(row.net, row.part, row.metric): row for row in evidence.rows}
    parts = list(dict.fromkeys(row.part for row in evidence.rows))
    sections = []
    for part in parts:
        count = found.get((names[0], part, "n")), found.get((names[0], part, "looked_for"))
        if count[0] is None or count[1] is None:
            continue
        text = (
            f"{count[0].value:.0f} sites, {count[1].value:.0f} of them mines. In brackets 95 % intervals from "
            "resampling neighbourhoods. Precision: of what is called when 80 % of the mines are found, if "
            f"{evidence.prevalence:.2%} of the sites were mines.",
            "Made of others: " + "; ".join(f"{name}: {', '.join(of)}" for name, of in STACKS.items()) + ".",
        )
        rows = tuple((name, *(_cell(found.get((name, part, metric))) for metric in _METRICS)) for name in names)
        sections.append(Section(f"How well that is told: {part}", text, table=Table(("", *_METRICS.values()), rows)))
    gains = [row for row in evidence.rows if row.metric.startswith("gain: ")]
    if gains:
        rows = tuple((f"{row.net}, {row.metric.removeprefix('gain: ')}", _cell(row)) for row in gains)
        sections.append(Section("What is added, on the same sites", table=Table(("", "difference"), rows)))
    return sections


def _cell(row: Any) -> str:
    if row is None or not np.isfinite(row.value):
        return "-"
    return f"{row.value:.3f}" + (f" [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.low) else "")


def _file_of(k: int, name: str) -> str:
    return f"{k + 1:05d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:60]}"
