"""The page of a latent space: probes in a table, a picture coloured by what is known, reconstructions, traversals."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from headscarp.core.provenance import made_by
from headscarp.report.figures import PALETTE, save_figure
from headscarp.report.page import Page, Section, Table, write_page
from headscarp.train.latent import Latents

_MOST_POINTS = 4000
_COLOURS = ("red", "green", "blue")


def write_latent_report(latents: Latents, out: str | Path, *, notice: str = "", bundle: str = "") -> Path:
    """Writes figures and latent.html into `out`; returns the page."""
    out = Path(out)
    probes = Table(
        ("", "from the latents", "from the means of bands", "chance", "frames"),
        tuple((p.what, f"{p.latents:.3f}", f"{p.means:.3f}", f"{1 / p.classes:.3f}", str(p.n)) for p in latents.probes),
    )
    elbo = Table(
        ("part", "ELBO, nats per pixel", "frames"),
        tuple((part, f"{values.mean():.4f}", str(len(values))) for part, values in latents.elbo.items()),
    )
    pictures = [
        (save_figure(picture_figure(latents.picture, labels, what), out / f"by-{what}.png"), f"Coloured by {what}.")
        for what, labels in latents.told.items()
    ]
    rebuilt = save_figure(rebuilt_figure(latents), out / "rebuilt.png")
    moved = save_figure(traversal_figure(latents), out / "traversals.png")
    page = Page(
        title="What the latent space separates",
        lead=(latents.text,),
        sections=[
            Section("How well each is rebuilt", ("At the mean of the latents, beta 1; higher is better.",), table=elbo),
            Section(
                "What a linear probe reads",
                (
                    "Balanced accuracy on places that the probe was not fitted on, in four folds. What the means of "
                    "bands tell as well is not owed to the latent space.",
                ),
                table=probes,
            ),
            Section("The first two principal components", figures=tuple(pictures)),
            Section("Rebuilt", figures=((rebuilt, "Held-out frames above, what was rebuilt of them below."),)),
            Section(
                "Traversals",
                figures=((moved, "One latent a row, from -2 to 2 standard deviations around the mean."),),
            ),
        ],
        notice=notice,
        made=made_by("latent", settings={"bundle": bundle}),
    )
    return write_page(page, out / "latent.html")


def picture_figure(points: NDArray[np.float64], labels: NDArray[np.str_], what: str) -> Figure:
    """Points (F, 2), coloured by text; what is unknown is grey."""
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    step = max(1, len(points) // _MOST_POINTS)
    points, labels = points[::step], labels[::step]
    for colour, name in zip(("#cccccc", *PALETTE), ["", *sorted(set(labels.tolist()) - {""})], strict=False):
        here = labels == name
        if here.any():
            axes.plot(*points[here].T, ".", ms=3, color=colour, label=name or "unknown")
    axes.set(xlabel="first component", ylabel="second component", title=f"Latents by {what}")
    axes.legend(frameon=False, fontsize=8, markerscale=3)
    return figure


def rebuilt_figure(latents: Latents) -> Figure:
    """Held-out images beside what was rebuilt of them."""
    return _grid(np.stack(latents.shown), latents.bands)


def traversal_figure(latents: Latents) -> Figure:
    """One latent a row."""
    return _grid(latents.traversals, latents.bands)


def _grid(images: NDArray[np.float64], bands: tuple[str, ...]) -> Figure:
    """images: (rows, columns, C, p, p); in true colour where there are the bands, else the band that is there."""
    rows, columns = images.shape[:2]
    figure = Figure(figsize=(1.3 * max(columns, 1) + 0.3, 1.3 * rows + 0.3), layout="constrained")
    if columns == 0:
        return figure
    axes = figure.subplots(rows, columns, squeeze=False)
    for column in range(columns):
        radar = not np.isfinite(_picked(images[0, column], bands)).any()
        for row in range(rows):
            image = images[row, column]
            plane = np.moveaxis(_picked(image, bands), 0, -1) if not radar else _only_band(image, images[0, column])
            axes[row, column].imshow(_stretched(plane), cmap="gray", vmin=0, vmax=1)
            axes[row, column].set_axis_off()
    return figure


def _picked(image: NDArray[np.float64], bands: tuple[str, ...]) -> NDArray[np.float64]:
    if set(_COLOURS) <= set(bands):
        return image[[bands.index(name) for name in _COLOURS]]
    return np.full((3, *image.shape[-2:]), np.nan)


def _only_band(image: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first band that is there in what was seen."""
    there = np.isfinite(seen).reshape(len(seen), -1).any(axis=1)
    plane: NDArray[np.float64] = image[int(there.argmax())]
    return plane


def _stretched(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    known = plane[np.isfinite(plane)]
    low, high = np.quantile(known, [0.02, 0.98]) if len(known) else (0.0, 1.0)
    return np.asarray(np.clip(np.nan_to_num((plane - low) / max(high - low, 1e-9)), 0, 1))
