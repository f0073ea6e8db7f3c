"""The figure of a ladder of labels: quality against hours of labelling and against labelled ground, a line a method.

It computes nothing. Where a method has no score on a rung there is no point.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from headscarp.report.figures import PALETTE, save_figure
from headscarp.train.ladder import Ladder, Rung

METRICS = {"average_precision": "Average precision", "f1": "F1", "skill": "Log-skill"}
FIGURE_NAME = "ladder.png"


def write_ladder_figure(ladder: Ladder, out: str | Path) -> Path:
    """Writes ladder.png into a folder and returns its path."""
    return save_figure(ladder_figure(ladder), Path(out) / FIGURE_NAME)


def ladder_figure(ladder: Ladder) -> Figure:
    """Average precision, F1 and log-skill of the test part with 95 % intervals, by hours above, by ground below."""
    figure = Figure(figsize=(11.5, 6.8), layout="constrained")
    axes = figure.subplots(2, len(METRICS), squeeze=False, sharey="col")
    amounts: Sequence[tuple[str, Callable[[Rung], float]]] = (
        (f"Hours of labelling, {ladder.minutes:g} minutes a landslide", lambda rung: rung.hours),
        ("Labelled training ground (km²)", lambda rung: rung.counts.labelled_km2),
    )
    for row, (words, amount) in zip(axes, amounts, strict=True):
        at = {rung.share: amount(rung) for rung in ladder.rungs}
        for axis, (metric, title) in zip(row, METRICS.items(), strict=True):
            _draw(axis, ladder, metric, at)
            axis.set_xlabel(words, fontsize=8)
            axis.set_ylabel(f"{title}, test part", fontsize=8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, frameon=False, fontsize=8, loc="outside lower center", ncols=len(handles))
    shares = ", ".join(f"{rung.share:g}" for rung in ladder.rungs)
    figure.suptitle(f"{shares} % of the training labels; bars: squares of test ground resampled", fontsize=10)
    return figure


def _draw(axis, ladder: Ladder, metric: str, at: Mapping[float, float]) -> None:  # type: ignore[no-untyped-def]
    above_0 = [x for x in at.values() if x > 0]
    if above_0:
        axis.set_xscale("symlog", linthresh=min(above_0), linscale=0.5)
        axis.set_xticks([*at.values()], [f"{x:.3g}" for x in at.values()])
        axis.set_xticks([], minor=True)
    floor = 0.0 if metric == "skill" else _prevalence(ladder)
    if metric != "f1" and np.isfinite(floor):
        axis.axhline(floor, color="#999999", lw=1, ls="--", label="constant prevalence")
    nets = list(dict.fromkeys(row.net for _, row in ladder.rows))
    low = 0.0
    for number, net in enumerate(nets):
        found = sorted(
            (at[s], r) for s, r in ladder.rows if (r.net, r.metric) == (net, metric) and np.isfinite(r.value)
        )
        if not found:
            continue
        x, value = np.array([f[0] for f in found]), np.array([f[1].value for f in found])
        errors = np.array([[v.value - v.low, v.high - v.value] for _, v in found]).T
        errors = np.nan_to_num(errors).clip(min=0)
        colour = PALETTE[number % len(PALETTE)]
        apart = x * (1 + 0.04 * number)  # or the bars would hide each other
        axis.errorbar(apart, value, yerr=errors, fmt="o-", ms=4, lw=1.4, capsize=2, color=colour, label=net)
        low = min(low, float(np.min(value - errors[0])))
    top = axis.get_ylim()[1]
    axis.set_ylim(max(low * 1.1, -0.5), top)  # a skill far below 0 is simply none
    axis.set_xlim(left=0)
    axis.grid(color="#eeeeee")
    axis.tick_params(labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _prevalence(ladder: Ladder) -> float:
    return next((row.value for _, row in ladder.rows if row.metric == "prevalence"), float("nan"))
