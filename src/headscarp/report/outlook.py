"""A picture of what a forecast says of places: frames with the attention on each, hazards with an interval, causes.

Draws what `explain.outlook` has found; reads pixels of the places that it draws and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from headscarp.core.band import UNLABELLED
from headscarp.core.domains import CAUSES, HORIZONS_DAYS
from headscarp.explain.outlook import PlaceOutlook, outlook_of
from headscarp.report.domains import chosen_places, draw_frame, draw_ground
from headscarp.report.figures import PALETTE, save_figure


def outlook_figure(stack: xr.Dataset, said: Sequence[PlaceOutlook], *, frames: int = 6) -> Figure:
    """Places in rows: the ground, the last frames from old to new with the attention on each as a bar and a share,
    P(event) over the horizons with its interval, and causes as bars; those in the set, and those that held, are marked.
    """
    figure = Figure(figsize=(1.75 * (frames + 1) + 5.2, 2.1 * len(said) + 0.6), layout="constrained")
    widths = [*([1.0] * (frames + 1)), 1.5, 1.3]
    grid = figure.subplots(len(said), frames + 3, squeeze=False, width_ratios=widths)
    for axes, outlook in zip(grid, said, strict=True):
        place = stack.isel(sample=outlook.sample).load()
        draw_ground(axes[0], place)
        there = np.flatnonzero(place["sensor"].to_numpy() > 0)[-frames:]
        for axis, slot in zip(axes[1:], there, strict=False):
            draw_frame(axis, place, int(slot))
            _draw_attention(axis, float(outlook.attention[slot]))
        for axis in axes[: frames + 1]:
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in axes[1 + len(there) : frames + 1]:
            axis.axis("off")
        _draw_hazard(axes[-2], outlook, place)
        _draw_causes(axes[-1], outlook, place)
    told = "SIMULATED: no real place. " if stack.attrs.get("simulated") else ""
    of = f"; shaded: {said[0].apart}" if said and said[0].apart else ""
    figure.suptitle(f"{told}Outline: slides within {HORIZONS_DAYS[-1]} days. Bar: attention{of}", fontsize=10)
    return figure


def draw_outlooks(
    bundle: str | Path, path: str | Path, out: str | Path, samples: Sequence[str] = (), *, frames: int = 6
) -> Path:
    """Writes the figure of what a bundle says of places of a stack of domains as PNG. samples: their names, by default
    one of each class. Raises StackError, BundleError."""
    stack, chosen = chosen_places(path, samples)
    return save_figure(outlook_figure(stack, outlook_of(bundle, stack, chosen), frames=frames), out)


def _draw_attention(axis: Any, share: float) -> None:
    axis.plot([0, share], [-0.04, -0.04], color=PALETTE[1], lw=5, transform=axis.transAxes, clip_on=False,
              solid_capstyle="butt")  # fmt: skip
    axis.set_xlabel(f"{100 * share:.0f} %", fontsize=7, labelpad=5)


def _draw_hazard(axis: Any, outlook: PlaceOutlook, place: xr.Dataset) -> None:
    days = np.array(HORIZONS_DAYS, np.float64)
    axis.fill_between(days, outlook.low, outlook.high, color=PALETTE[0], alpha=0.25, lw=0)
    axis.plot(days, outlook.hazards, "o-", ms=3, lw=1.4, color=PALETTE[0], label="said")
    if "law" in place.variables:
        axis.plot(days, place["law"].to_numpy(), color="#888888", lw=1, ls="--", label="law")
        axis.legend(frameon=False, fontsize=6)
    event = float(place["event_days"])
    if np.isfinite(event) and event <= days[-1]:
        axis.axvline(max(event, days[0]), color=PALETTE[1], lw=1)
    axis.set_xscale("log")
    axis.set_xticks(days, [f"{d} d" for d in HORIZONS_DAYS], minor=False)
    axis.set_xticks([], minor=True)
    axis.set_ylim(0, 1)
    axis.tick_params(labelsize=6)
    sure = f"confidence {outlook.confidence:.2f}, familiarity {outlook.familiarity:.2f}"
    axis.set_title(f"P(slide); {sure}", fontsize=7)


def _draw_causes(axis: Any, outlook: PlaceOutlook, place: xr.Dataset) -> None:
    rows = np.arange(len(CAUSES))[::-1]
    sets = bool(np.isfinite(outlook.cut))
    inside = outlook.causes >= outlook.cut if sets else np.zeros(len(CAUSES), bool)
    axis.barh(rows, outlook.causes, color=[PALETTE[2] if held else "#bbbbbb" for held in inside])
    truth = place["causes"].to_numpy()
    names = [f"{name} *" if truth[k] == 1 and truth[k] != UNLABELLED else name for k, name in enumerate(CAUSES)]
    axis.set_yticks(rows, names, fontsize=6)
    if sets:
        axis.axvline(outlook.cut, color="#888888", lw=1, ls="--")
    axis.set_xlim(0, 1)
    axis.tick_params(axis="x", labelsize=6)
    axis.set_title(f"P(cause | slide); {'green: in the set; ' if sets else ''}*: held", fontsize=7)
