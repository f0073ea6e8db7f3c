"""headscarp domains: many places with frames, weather and what came after, as one stack of samples."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite, Resume, Scheduler, Workers
from headscarp.cli.output import say, tell


def build(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file, such as recipes/domains.toml.")],
    out: Out,
    workers: Workers = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and say what would be built.")] = False,
) -> None:
    """Build a stack of domains (Zarr): places of seven classes over several regions, with the frames of two satellites.

    With [simulate] in the recipe the places are simulated, from a known law of their landslides, and everything says
    so; with [antecedents] they are events of a catalogue with the rain before them, without frames; with [pairs] a
    frame before and one after of places, each with a class; with [scenarios] simulated pictures before and after a
    task, with several futures of each place. A build that was stopped goes on with `--resume` to the same bytes.

        headscarp domains build recipes/domains.toml --out domains.zarr
    """
    from headscarp.assemble.domain_recipe import read_domains_recipe
    from headscarp.assemble.domain_sources import domain_source
    from headscarp.assemble.domains import build_domains

    parsed = read_domains_recipe(recipe)
    if dry_run:
        source = domain_source(parsed)
        side = f"{source.side_px} x {source.side_px} cells of {source.attrs['pixel_m']:g} m"
        slots = f"{source.frames} slots" if source.frames else "a picture before and one after"
        say(f"{len(source.names)} samples of {slots}, {side}")
        told = next(name for name in ("region", "class") if name in source.texts)
        say(f"{source.attrs['note']}; {told}: {', '.join(dict.fromkeys(source.texts[told]))}")
        say(f"cut-offs from {str(source.cutoffs.min())[:10]} to {str(source.cutoffs.max())[:10]}")
        return
    stack = build_domains(parsed, out, workers=workers, scheduler=scheduler, resume=resume, overwrite=overwrite)
    simulated = bool(stack.attrs.get("simulated", False))
    tell(domains=out, samples=stack.sizes["sample"], simulated=simulated, see=f"headscarp info {out}")


def metadata(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A stack of samples with classes, or an inventory with causes.")
    ],
    out: Out,
    square_deg: Annotated[
        float, typer.Option("--square-deg", help="Side of the squares of ground that are never parted.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the folds and of the intervals.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Tell how well position, date and weather alone give away the class or cause of places, beside the majority.

    Gradient boosting, five folds of whole squares of ground. A net has to beat that; and where dates or position alone
    do well, the collection gives its classes away by where and when it was gathered.

        headscarp domains metadata antecedents.zarr --out told/
    """
    from headscarp.report.kinds import write_kinds_report
    from headscarp.train.metadata import judge_metadata

    evaluation = judge_metadata(source, out=out, square_deg=square_deg, seed=seed, overwrite=overwrite)
    page = write_kinds_report(evaluation, out)
    say(evaluation.text)
    tell(metrics=out / "metrics.csv", report=page)


def show(
    domains: Annotated[Path, typer.Argument(metavar="DOMAINS", help="A stack made by `headscarp domains build`.")],
    out: Out,
    sample: Annotated[
        list[str] | None,
        typer.Option("--sample", help="Name of a sample; may be given again. Default: one of each class."),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="How many of the last frames.", min=1, max=24)] = 6,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="A trained forecast, to draw what it says of the places too.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw places of a stack of domains (PNG): the ground, the last frames from old to new, and where it slides after.

    Landsat frames are in true colour, radar frames in VV, VH, VV. Simulated places have that written on the picture.
    With `--bundle` there are also the attention on each frame, the hazard over the horizons with its interval over
    members of an ensemble or over dropout masks, and causes as bars.

        headscarp domains show domains.zarr --bundle forecast/ --out places.png
    """
    from headscarp.core.artefact import check_output
    from headscarp.report.domains import draw_places

    check_output(out, overwrite=overwrite)
    if bundle is None:
        tell(figure=draw_places(domains, out, sample or (), frames=frames))
        return
    from headscarp.report.outlook import draw_outlooks

    tell(figure=draw_outlooks(bundle, domains, out, sample or (), frames=frames))
