"""headscarp explain: which bands does a bundle lean on, and why does it say so there?"""

from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Label, Out, Overwrite, StackPath
from headscarp.cli.output import say, tell


def explain(
    bundle: BundlePath,
    stack: StackPath,
    out: Out,
    at: Annotated[
        tuple[float, float] | None,
        typer.Option("--at", help="A place to explain: x and y in the stack's CRS, or longitude and latitude."),
    ] = None,
    label: Label = None,
    split: Annotated[
        str | None, typer.Option("--split", help="A split.geojson; default: the one the bundle was trained with.")
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Whose tiles are drawn: train, validation or test.")] = "test",
    tiles: Annotated[int, typer.Option("--tiles", help="How many tiles of 64 cells are drawn.", min=2)] = 12,
    steps: Annotated[int, typer.Option("--steps", help="Steps of the integrated gradients.", min=1)] = 16,
    repeats: Annotated[int, typer.Option("--repeats", help="How often each band is shuffled.", min=1)] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the drawn tiles and of the shuffling.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Rank the bands of a bundle: by integrated gradients, and by the skill that is lost when a band is shuffled.

    Writes bands.csv, explanation.json, figures and one self-contained report.html; `--at` adds a picture per band
    around a place. The two methods can differ, since a net can lean on one of two bands that say the same; the
    report says where they do.

        headscarp explain sacnn/ stack.zarr --out why/ --at 73.33 34.62
    """
    from headscarp.explain.explain import explain as explain_bundle
    from headscarp.report.explanation import write_explanation_report

    found = explain_bundle(
        bundle, stack, out, place=at, split=split, label=label, part=part, tiles=tiles, steps=steps, repeats=repeats,
        seed=seed, overwrite=overwrite,
    )  # fmt: skip
    page = write_explanation_report(found, out)
    for sentence in found.text:
        say(sentence)
    tell(bands=out / "bands.csv", report=page)
