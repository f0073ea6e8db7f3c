"""Figures of a run: curves, reliability, partition and maps, each from plain arrays to a matplotlib Figure.

Refuses to read files or to compute metrics; colours are safe for colour-blind readers and for grey print.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from headscarp.core.artefact import clear_os_errors
from headscarp.terrain import slope

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#666666", "#000000")
PART_COLOURS = {"train": "#9ecae1", "validation": "#fdae6b", "test": "#d6604d"}
LEVELS = (0.25, 1.0, 3.0, 10.0)
"""Edges of the classes of a susceptibility map, in multiples of the average rate."""
LEVEL_NAMES = ("under ¼ of the average", "¼ to 1 x", "1 to 3 x", "3 to 10 x", "over 10 x the average")
LEVEL_COLOURS = ("#2c7bb6", "#abd9e9", "#ffffbf", "#fdae61", "#b2182b")

Curve = tuple[np.ndarray, np.ndarray]


def roc_figure(curves: Mapping[str, Curve], areas: Mapping[str, float]) -> Figure:
    """ROC curves: (false positive rate, true positive rate) by name; areas are the AUROC in the legend."""
    figure, axes = _square("False positive rate", "True positive rate", "ROC")
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1, ls="--", label="chance  0.500")
    for colour, (name, (x, y)) in zip(_colours(curves), curves.items(), strict=True):
        axes.plot(x, y, color=colour, lw=1.8, label=f"{name}  {areas[name]:.3f}")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def precision_recall_figure(curves: Mapping[str, Curve], areas: Mapping[str, float], prevalence: float) -> Figure:
    """Precision over recall by name, with the prevalence as the floor that a constant reaches."""
    figure, axes = _square("Recall", "Precision", "Precision and recall")
    axes.axhline(prevalence, color="#bbbbbb", lw=1, ls="--", label=f"constant  {prevalence:.3f}")
    for colour, (name, (recall, precision)) in zip(_colours(curves), curves.items(), strict=True):
        axes.plot(recall, precision, color=colour, lw=1.8, label=f"{name}  {areas[name]:.3f}")
    top = max([float(np.nanmax(p[r > 0.02], initial=prevalence)) for r, p in curves.values()] + [prevalence])
    axes.set_ylim(0, min(1.0, 1.15 * top) or 1.0)
    axes.set_aspect("auto")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return figure


def reliability_figure(points: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], prevalence: float) -> Figure:
    """Observed share over predicted probability, by name: (mean predicted, observed, count) of each bin; log axes."""
    figure, axes = _square("Predicted probability", "Observed share of landslides", "Reliability")
    low, high = max(prevalence, 1e-4) / 100, 1.0
    axes.plot([low, high], [low, high], color="#bbbbbb", lw=1, ls="--", label="calibrated")
    axes.axvline(prevalence, color="#dddddd", lw=1, label=f"prevalence {prevalence:.3f}")
    for colour, (name, (predicted, observed, count)) in zip(_colours(points), points.items(), strict=True):
        seen = (count > 0) & (observed > 0) & (predicted > 0)
        axes.plot(predicted[seen], observed[seen], "o-", color=colour, ms=4, lw=1.2, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def history_figure(histories: Mapping[str, Mapping[str, Sequence[float]]], constant_nll: float) -> Figure:
    """Training and validation NLL by epoch for each net: columns epoch, validation_nll, loss."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(constant_nll, color="#999999", lw=1, ls=":", label=f"constant prevalence {constant_nll:.4f}")
    for colour, (name, history) in zip(_colours(histories), histories.items(), strict=True):
        axes.plot(history["epoch"], history["validation_nll"], "o-", ms=3, color=colour, lw=1.6, label=name)
        if "loss" in history:
            axes.plot(history["epoch"], history["loss"], color=colour, lw=0.8, ls="--")
    values = [v for h in histories.values() for v in h["validation_nll"] if np.isfinite(v)] + [constant_nll]
    axes.set_ylim(0.95 * min(values), min(1.05 * max(values), 2.5 * constant_nll))
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Negative log-likelihood (nats)")
    axes.set_title("Validation (solid) and training (dashed)", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    _plain_spines(axes)
    return figure


def partition_figure(codes: np.ndarray, labels: np.ndarray, extent_km: tuple[float, float]) -> Figure:
    """The map of the partition. codes: (y, x) 0 none, 1 train, 2 validation, 3 test. labels: (y, x), 1 = landslide."""
    figure, axes = _map_axes(1, codes.shape)
    colours = ListedColormap(["#f2f2f2", *PART_COLOURS.values()])
    axes[0].imshow(codes, cmap=colours, norm=BoundaryNorm(np.arange(-0.5, 4), 4), extent=_extent(extent_km))
    rows, cols = np.nonzero(labels == 1)
    axes[0].plot(
        (cols + 0.5) / codes.shape[1] * extent_km[0],
        (1 - (rows + 0.5) / codes.shape[0]) * extent_km[1],
        ",",
        color="black",
    )
    handles = [Patch(color=c, label=n) for n, c in PART_COLOURS.items()] + [Patch(color="black", label="landslide")]
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    axes[0].set_title("Partition", fontsize=10)
    return figure


def susceptibility_figure(
    maps: Mapping[str, np.ndarray], labels: np.ndarray, elevation: np.ndarray | None, extent_km: tuple[float, float]
) -> Figure:
    """Maps beside the truth: each probability map (y, x) in multiples of the average rate, then the inventory.

    labels: (y, x) 1 landslide, 0 not, 255 unlabelled. elevation: (y, x) m for the hillshade below, or None.
    """
    figure, axes = _map_axes(len(maps) + 1, labels.shape)
    shade = None if elevation is None else hillshade(elevation, extent_km)
    known = labels != 255
    prevalence = max(float((labels[known] == 1).mean()) if known.any() else 0.0, 1e-6)
    colours = ListedColormap(LEVEL_COLOURS)
    norm = BoundaryNorm([-np.inf, *LEVELS, np.inf], len(LEVEL_COLOURS))
    for axis, (name, probability) in zip(axes, maps.items(), strict=False):
        classes = np.ma.masked_invalid(probability / prevalence)
        if shade is not None:
            axis.imshow(shade, cmap="gray", vmin=0, vmax=1, extent=_extent(extent_km))
        axis.imshow(classes, cmap=colours, norm=norm, extent=_extent(extent_km), alpha=0.75 if shade is not None else 1)
        axis.set_title(name, fontsize=10)
    _draw_truth(axes[-1], labels, shade, extent_km)
    handles = [Patch(color=c, label=n) for n, c in zip(LEVEL_NAMES, LEVEL_COLOURS, strict=True)]
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside lower center", ncols=5)
    return figure


def intervals_figure(values: Mapping[str, Mapping[str, tuple[float, float, float]]], metric: str) -> Figure:
    """One metric by net (rows) and split (colours) with its interval: values[split][net] = (value, low, high)."""
    nets = list(dict.fromkeys(net for by_net in values.values() for net in by_net))
    figure = Figure(figsize=(6.4, 0.42 * len(nets) + 1.4), layout="constrained")
    axes = figure.subplots()
    for number, (split, by_net) in enumerate(values.items()):
        rows = [len(nets) - 1 - nets.index(net) - 0.22 * number + 0.1 for net in by_net]
        middle = np.array([v[0] for v in by_net.values()])
        low, high = (np.array([v[i] for v in by_net.values()]) for i in (1, 2))
        errors = np.nan_to_num(np.stack([middle - low, high - middle]).clip(min=0))
        axes.errorbar(middle, rows, xerr=errors, fmt="o", ms=5, capsize=2, color=PALETTE[number], label=split)
    axes.set_yticks(range(len(nets)), nets[::-1])
    axes.set_xlabel(f"{metric}, test part, 95 % interval")
    axes.grid(axis="x", color="#e5e5e5")
    axes.legend(frameon=False, fontsize=8)
    _plain_spines(axes)
    return figure


def selective_figure(curves: Mapping[str, Curve], usual: Mapping[str, float], what: str = "Accuracy") -> Figure:
    """What the surest answers are worth, by name: (share of answers given, mean over them); usual: over all."""
    figure, axes = _square("Share of answers given, the surest first", what, f"{what} of the surest answers")
    for colour, (name, (share, value)) in zip(_colours(curves), curves.items(), strict=True):
        axes.plot(share, value, color=colour, lw=1.6, label=f"{name}  {usual[name]:.3f} of all")
    axes.set_aspect("auto")
    axes.set_xlim(0, 1)
    values = np.concatenate([value[np.isfinite(value)] for _, value in curves.values()] or [np.zeros(1)])
    axes.set_ylim(max(0.0, float(values.min(initial=1.0)) - 0.05), 1.02 if what == "Accuracy" else None)
    axes.legend(frameon=False, fontsize=8)
    return figure


def hillshade(elevation: np.ndarray, extent_km: tuple[float, float]) -> np.ndarray:
    """Shaded relief in [0, 1] with light from the north-west; (y, x) float32, NaN as 1."""
    rows, cols = elevation.shape
    cell = (extent_km[1] * 1000 / rows, extent_km[0] * 1000 / cols)
    gy, gx = np.gradient(elevation.astype("float64"), *cell)
    tilt = np.radians(np.nan_to_num(slope(elevation.astype("float32"), cell)))
    towards = np.arctan2(gy, -gx)
    light = np.sin(np.pi / 4) * np.cos(tilt) + np.cos(np.pi / 4) * np.sin(tilt) * np.cos(np.radians(135) - towards)
    return np.nan_to_num(np.clip(light, 0, 1), nan=1.0).astype("float32")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as PNG at 150 dots per inch."""
    path = Path(path)
    with clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    return path


def png_data_uri(path: str | Path) -> str:
    """A PNG file as a data URI, to stand inside a page."""
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def _draw_truth(axis, labels: np.ndarray, shade: np.ndarray | None, extent_km: tuple[float, float]) -> None:  # type: ignore[no-untyped-def]
    if shade is not None:
        axis.imshow(shade, cmap="gray", vmin=0, vmax=1, extent=_extent(extent_km))
    axis.imshow(
        np.ma.masked_not_equal(labels, 1),
        cmap=ListedColormap(["#b2182b"]),
        extent=_extent(extent_km),
        interpolation="nearest",
    )
    axis.set_title("Mapped landslides", fontsize=10)


def _map_axes(count: int, shape: tuple[int, ...]):  # type: ignore[no-untyped-def]
    aspect = shape[0] / shape[1]
    width = min(5.0, 14.0 / count, 7.0 / aspect)
    figure = Figure(figsize=(width * count + 0.6, width * aspect + 1.0), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis in axes:
        axis.set_xlabel("km", fontsize=8)
        axis.tick_params(labelsize=7)
    return figure, axes


def _square(x: str, y: str, title: str):  # type: ignore[no-untyped-def]
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    axes.set_title(title, fontsize=10)
    _plain_spines(axes)
    return figure, axes


def _plain_spines(axes) -> None:  # type: ignore[no-untyped-def]
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _extent(extent_km: tuple[float, float]) -> tuple[float, float, float, float]:
    return (0.0, extent_km[0], 0.0, extent_km[1])


def _colours(names: Mapping[str, object]) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(len(names))]
