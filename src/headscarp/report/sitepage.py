"""The page of one site: its pictures, whose ground it is, and by what it was told.

"Unlicensed" is said against a layer of concessions and nowhere else: an image shows no permit. Refuses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headscarp.core.samples import CLASS
from headscarp.core.scenarios import GENERATED_WORDS
from headscarp.report.page import Page, Section, Table
from headscarp.sources.areas import Areas
from headscarp.train.measured import CHANGED_AT
from headscarp.train.minescores import CONSTANT
from headscarp.train.mining import Evidence

SHOWN_TASKS = 4
NO_PERMIT = "No layer of concessions was given, so nothing is said of licences: an image shows no permit."
_LEAST_HA = 0.005


@dataclass(frozen=True)
class Layers:
    """Areas that sites are held against; None where no layer was given."""

    protected: Areas | None = None
    concessions: Areas | None = None

    @property
    def given(self) -> bool:
        return self.protected is not None or self.concessions is not None


def site_page(evidence: Evidence, k: int, facts: Mapping[str, Any], strip: Path, layers: Layers) -> Page:
    lead = [_chance(evidence, k)]
    if facts["dates"]:
        lead.append(f"Pictures of {facts['dates'][0]} and {facts['dates'][1]} (middles of what they were made of).")
    if facts["ring"]:
        y, x = facts["latitude"], facts["longitude"]
        lead.append(f"{abs(y):.5f} {'north' if y >= 0 else 'south'}, {abs(x):.5f} {'east' if x >= 0 else 'west'}.")
    lead.append(f"Changed: {facts['changed_ha']:.2f} of {facts['site_ha']:.2f} ha.")
    known = known_of(evidence, k)
    if known:
        lead.append(f"Known of it: {known}.")
    tasks = ", ".join(task.replace("_", " ") for task in evidence.tools.tasks[:SHOWN_TASKS])
    caption = (
        f"Before, after, what changed (bands by {CHANGED_AT:g} or more, root mean square), and the nearest of "
        f"{evidence.tools.samples} futures under each task ({tasks}). GENERATED: {GENERATED_WORDS}."
    )
    sections = [
        Section("Pictures", figures=((strip, caption),)),
        Section("Whose ground", _ground_words(facts, layers), table=_ground_table(facts, layers)),
        Section(
            "By what it was told", ("Log odds by each way to look, and the rank by it.",), table=_scores(evidence, k)
        ),
    ]
    notice = "SIMULATED place: nothing here is real." if evidence.simulated else ""
    return Page(
        f"Site {evidence.names[k]}: number {k + 1} of {len(evidence.at)}", tuple(lead), sections, notice, evidence.made
    )


def _chance(evidence: Evidence, k: int) -> str:
    if not np.isfinite(evidence.chance[k]):
        return "Ranked by how much better mining explains what came than the other tasks do; no chance can be told."
    said = chance_text(evidence.chance[k])
    return f"If {evidence.prevalence:.2%} of all such sites were mines, this one would be with a chance of {said}."


def chance_text(chance: float) -> str:
    """A chance in words no surer than a fit on some dozens of sites can be; "-" for NaN."""
    if not np.isfinite(chance):
        return "-"
    return "over 99 %" if chance > 0.99 else "under 0.1 %" if chance < 0.001 else f"{100 * chance:.1f} %"


def known_of(evidence: Evidence, k: int) -> str:
    stack = evidence.stack
    told = str(stack[CLASS].to_numpy()[evidence.at[k]]) if CLASS in stack.variables else ""
    if told:
        return told.replace("_", " ")
    return "" if np.isnan(evidence.mine[k]) else "a mine" if evidence.mine[k] else "no mine"


def _ground_words(facts: Mapping[str, Any], layers: Layers) -> tuple[str, ...]:
    if layers.given and not facts["ring"]:
        return ("The site has no position, so no area can be said to lie over it.",)
    words = []
    if layers.protected is not None:
        where = ", ".join(facts["protected_names"])
        words.append(f"In protected areas: {where}." if where else f"In no area of {layers.protected.path.name}.")
    if layers.concessions is None:
        return (*words, NO_PERMIT)
    where = ", ".join(facts["concessions_names"])
    words.append(f"In concessions: {where}." if where else f"In no concession of {layers.concessions.path.name}.")
    outside = facts["changed_outside_concessions_ha"]
    if facts["changed_ha"] and outside > _LEAST_HA:
        words.append(
            f"{outside:.2f} ha of the changed ground lie outside every concession of {layers.concessions.path.name}: "
            "if this is mining, it is unlicensed there as far as that layer tells."
        )
    return tuple(words)


def _ground_table(facts: Mapping[str, Any], layers: Layers) -> Table | None:
    if not layers.given or not facts["ring"]:
        return None
    rows = [("ground", f"{facts['site_ha']:.2f}", f"{facts['changed_ha']:.2f}")]
    for name in ("protected", "concessions"):
        if f"{name}_ha" in facts:
            words = "in protected areas" if name == "protected" else "in concessions"
            rows.append((words, f"{facts[f'{name}_ha']:.2f}", f"{facts[f'changed_in_{name}_ha']:.2f}"))
    return Table(("hectares", "of the site", "of what changed"), tuple(rows))


def _scores(evidence: Evidence, k: int) -> Table:
    rows = []
    for name, values in evidence.scores.items():
        if name != CONSTANT:
            rows.append((name, f"{values[k]:+.2f}", f"{int((values > values[k]).sum()) + 1} of {len(values)}"))
    return Table(("score", "log odds", "rank"), tuple(rows))
