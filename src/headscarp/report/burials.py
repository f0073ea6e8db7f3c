"""The figure of judged maps of burial: how reliable they are, and a place of the test part. Refuses nothing."""

from pathlib import Path

from matplotlib.figure import Figure

from headscarp.report.figures import PALETTE, save_figure
from headscarp.train.burials import BurialsEvaluation


def draw_burials(evaluation: BurialsEvaluation, out: str | Path) -> Path:
    """Writes the figure as PNG: share buried over probability by name; below, maps of the place with most burial."""
    names = list(evaluation.reliability)
    example = max(evaluation.examples, key=lambda one: float(one.came.mean()))
    panels = len(example.maps) + 1
    figure = Figure(figsize=(1.75 * panels, 5.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.7, 1.0))  # type: ignore[misc]
    axis = upper.subplots()
    axis.plot([0, 1], [0, 1], color="#bbbbbb", lw=1, ls="--", label="right")
    for colour, name in zip(PALETTE, names, strict=False):
        cells, said, found = evaluation.reliability[name].T
        kept = cells >= 100
        axis.plot(said[kept], found[kept], "o-", color=colour, ms=3, lw=1.2, label=name.replace("_", " "))
    axis.set_xlabel("probability of burial")
    axis.set_ylabel("share that was buried")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes = lower.subplots(1, panels)
    shown = [("came: mean of futures", example.came.mean(axis=0)), *example.maps.items()]
    for each, (title, pixels) in zip(axes, shown, strict=True):
        drawn = each.imshow(pixels, vmin=0.0, vmax=1.0, cmap="magma")
        each.set_title(title.replace("_", " "), fontsize=6)
        each.axis("off")
    lower.colorbar(drawn, ax=list(axes), ticks=[0.0, 0.5, 1.0], shrink=0.8, label="probability")
    upper.suptitle("SIMULATED places of the test part", fontsize=9)
    return save_figure(figure, out)
