"""headscarp damage: how far slides may run from where they start, and what stands in their way."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headscarp.cli.options import Out, Overwrite, Resume, Seed, Workers
from headscarp.cli.output import say, tell


def damage(
    sources: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCES",
            help="A generator by `headscarp train`, a folder of futures by `headscarp scenario`, or a map.",
        ),
    ],
    stack: Annotated[Path, typer.Argument(metavar="STACK", help="A stack of the place; to judge: of scenarios.")],
    out: Out,
    task: Annotated[
        str | None, typer.Option("--task", help="With a generator: what sets slides off, such as rain.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="With a generator: how many futures it draws.")] = 16,
    after_days: Annotated[
        float | None, typer.Option("--after-days", help="Days from the task to the picture; default: untold.")
    ] = None,
    date: Annotated[str | None, typer.Option("--date", help="Of a series the newest frame up to this day.")] = None,
    as_drawn: Annotated[
        bool, typer.Option("--as-drawn", help="The futures show all that is buried: nothing runs further.")
    ] = False,
    exposed: Annotated[
        list[Path] | None,
        typer.Option("--exposed", help="A vector layer of roads, buildings, ...; may be given again."),
    ] = None,
    people: Annotated[Path | None, typer.Option("--people", help="A raster of people per cell, on any grid.")] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="From which on a cell of a map is a source.")] = 0.5,
    angle_deg: Annotated[
        float | None, typer.Option("--angle-deg", help="Angle of reach; default: by the area of each slide.")
    ] = None,
    scatter: Annotated[
        float, typer.Option("--scatter", help="Standard deviation of log10 of the tangent of the angle.")
    ] = 0.1,
    draws: Annotated[int, typer.Option("--draws", help="How many runouts are drawn.")] = 100,
    judge: Annotated[
        bool, typer.Option("--judge", help="Score a generator on held-out simulated places whose slides run.")
    ] = False,
    seed: Seed = None,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Map the ground that slides may bury: probability by cell, quantiles of the area, exposed people and features.

    Slides run down the elevation of the stack to where the line of the travel angle meets the ground; the angle falls
    with the volume (Corominas 1996). A generator that has learned from slides that run draws what is buried itself:
    --as-drawn. The probability of each cell is then the guess of `flow` or `direct`, or the share of the futures of a
    net without one; quantiles of totals are of the futures. Writes a map (GeoTIFF), a table (CSV) and a GeoPackage with
    the layer `extent` and each --exposed layer, whose features have their `burial_probability`.

        headscarp damage flow/ stack.zarr --task rain --out damage.gpkg --exposed roads.gpkg

    With --judge the generator is scored on the test part of simulated scenarios with `slides = true`, beside runouts by
    the travel angle and what the simulator itself knows:

        headscarp damage flow/ slides.zarr --task rain --as-drawn --judge --out burial/
    """
    from headscarp.core.errors import RecipeError

    generator = (sources / "bundle.json").exists()
    if (generator or judge) and task is None:
        raise RecipeError("a generator has to be told what sets slides off; say --task rain")
    if judge:
        _judge(sources, stack, out, str(task), as_drawn=as_drawn, samples=samples, seed=seed or 0, overwrite=overwrite)
        return
    if not generator and task is not None:
        raise RecipeError(f"--task is for a generator, but {sources} is none; leave it out, or train one: --net flow")
    from headscarp.prediction.damage import QUANTILES, damage_of_bundle
    from headscarp.prediction.damage import damage as draw_damage

    options: dict[str, Any] = {
        "exposed": exposed or (),
        "people": people,
        "as_drawn": as_drawn,
        "threshold": threshold,
        "angle_deg": angle_deg,
        "scatter": scatter,
        "draws": draws,
        "seed": seed or 0,
        "overwrite": overwrite,
    }
    told: dict[str, Any] = {}
    if generator:
        drawing = {"task": task, "samples": samples, "after_days": after_days, "date": date, "workers": workers}
        made, drawn = damage_of_bundle(sources, stack, out, drawing=drawing, resume=resume, **options)
        told = {"futures": f"{len(drawn.futures)} in {drawn.spread.parent}"}
    else:
        made = draw_damage(sources, stack, out, **options)
    for what, values in made.quantiles.items():
        say(f"{what}: " + ", ".join(f"{value:.4g} ({q:.0%})" for value, q in zip(values, QUANTILES, strict=True)))
    tell(map=made.map, table=made.table, layers=made.layers, **told)


def _judge(
    bundle: Path, stack: Path, out: Path, task: str, *, as_drawn: bool, samples: int, seed: int, overwrite: bool
) -> None:
    from headscarp.report.burials import draw_burials
    from headscarp.train.burials import judge_burials

    found = judge_burials(
        bundle, stack, out=out, task=task, as_drawn=as_drawn, samples=samples, seed=seed, overwrite=overwrite
    )
    figure = draw_burials(found, out / "burials.png")
    say(found.text)
    tell(metrics=out / "metrics.csv", reliability=out / "reliability.csv", figure=figure)
