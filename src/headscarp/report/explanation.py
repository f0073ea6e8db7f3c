"""The report of an explanation: bars for each band by both methods, a picture per band around a place, one page."""

from pathlib import Path

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from headscarp.core.provenance import read_made
from headscarp.explain.explain import Explanation
from headscarp.explain.place import PlaceReasons
from headscarp.report.figures import PALETTE, save_figure
from headscarp.report.page import Page, Section, Table, write_page

_MOST_PICTURES = 12
_RAISES, _LOWERS = PALETTE[1], PALETTE[0]


def write_explanation_report(explanation: Explanation, out: str | Path) -> Path:
    """Writes bands.png, place.png where there is a place, and report.html into `out`; returns the page."""
    out = Path(out)
    figures = [
        (
            save_figure(bands_figure(explanation), out / "bands.png"),
            "Left: how far a band moves the log-odds of a cell, on average up (orange) or down (blue). Right: what the "
            "map loses when the band comes from another tile; lines reach from the least to the most of the repeats.",
        )
    ]
    sections = [Section("Which bands", figures=tuple(figures), table=_table(explanation))]
    place = explanation.place
    if place is not None:
        where = (
            f"Around x {place.x:.0f}, y {place.y:.0f} (the cross), where the map says {place.probability:.3f}: what "
            "each pixel's value adds to the log-odds in this window, red raises and blue lowers them."
        )
        picture = save_figure(place_figure(place), out / "place.png")
        sections.append(Section("Why there", text=(where,), figures=((picture, "One scale for all bands."),)))
    page = Page(
        title=f"Why does {explanation.net} say so?",
        lead=explanation.text,
        sections=sections,
        made=read_made(out / "explanation.json"),
    )
    return write_page(page, out / "report.html")


def bands_figure(explanation: Explanation) -> Figure:
    """Two columns of bars, a row for each band, strongest on top: strength with its mean, and skill lost."""
    bands = explanation.bands[::-1]
    figure = Figure(figsize=(8.4, 1.2 + 0.32 * len(bands)), layout="constrained")
    strength, lost = figure.subplots(1, 2, sharey=True)
    names, rows = [band.band for band in bands], np.arange(len(bands))
    colours = [_RAISES if band.mean > 0 else _LOWERS for band in bands]
    strength.barh(rows, [band.strength for band in bands], color=colours, alpha=0.75)
    strength.plot([band.mean for band in bands], rows, "|", color="black", ms=9, mew=1.6, label="mean, with sign")
    strength.axvline(0, color="#999999", lw=0.8)
    strength.set_xlabel("Log-odds per pixel (integrated gradients)", fontsize=9)
    strength.legend(frameon=False, fontsize=8, loc="lower right")
    lost.barh(rows, [band.skill_lost for band in bands], color=PALETTE[2], alpha=0.75)
    lost.hlines(rows, [band.low for band in bands], [band.high for band in bands], color="black", lw=1.2)
    lost.axvline(0, color="#999999", lw=0.8)
    lost.set_xlabel(f"Log-skill lost by shuffling, of {explanation.skill:.3f}", fontsize=9)
    strength.set_yticks(rows, names, fontsize=9)
    for axes in (strength, lost):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def place_figure(place: PlaceReasons) -> Figure:
    """A map per band of what it adds to the log-odds around a place, strongest first, at most twelve, on one scale."""
    shown = min(len(place.bands), _MOST_PICTURES)
    columns = min(4, shown)
    rows = -(-shown // columns)
    figure = Figure(figsize=(2.5 * columns + 0.8, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    finite = np.abs(place.planes[np.isfinite(place.planes)])
    most = max(float(np.quantile(finite, 0.995)) if finite.size else 0.0, 1e-9)
    row, col = place.pixel
    side_km = place.window.height * place.cell_m / 1000
    centre = (
        (col - place.window.col + 0.5) * place.cell_m / 1000,
        (row - place.window.row + 0.5) * place.cell_m / 1000,
    )
    for axes in grid[shown:]:
        axes.set_axis_off()
    for axes, name, plane, total in zip(grid, place.bands, place.planes, place.total, strict=False):
        axes.set_facecolor("#dddddd")
        image = axes.imshow(plane, cmap="RdBu_r", norm=TwoSlopeNorm(0, -most, most), extent=(0, side_km, side_km, 0))
        axes.plot(*centre, "+", color="black", ms=9, mew=1.4)
        axes.set_title(f"{name}  {total:+.2f}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(image, ax=grid.tolist(), shrink=0.8, label=f"log-odds; windows of {side_km:.1f} km")
    return figure


def _table(explanation: Explanation) -> Table:
    columns = ("Band", "Strength", "Share", "Mean, with sign", "Skill lost", "least to most")
    rows = tuple(
        (
            b.band,
            f"{b.strength:.3f}",
            f"{b.share:.1%}",
            f"{b.mean:+.3f}",
            f"{b.skill_lost:+.4f}",
            f"{b.low:+.4f} to {b.high:+.4f}",
        )
        for b in explanation.bands
    )
    return Table(columns, rows)
