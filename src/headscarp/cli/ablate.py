"""headscarp ablate: what does the skill of a forecast rest on?"""

from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Out, Overwrite, Resume, StackPath, Workers, comma_list
from headscarp.cli.output import say, tell


def ablate(
    bundle: BundlePath,
    stack: StackPath,
    out: Out,
    part: Annotated[
        str, typer.Option("--part", help="Part of the bundle's split that judges: train, validation or test.")
    ] = "test",
    tables: Annotated[
        str,
        typer.Option("--tables", help="Only these, comma-separated: `frames`, `sensors`, `delay`, `rain`, `clouds`."),
    ] = "",
    anew: Annotated[
        str,
        typer.Option(
            "--anew",
            help="Tables whose nets are trained anew, as the bundle was, comma-separated: `metadata` (none, position, "
            "weather, all), `delay`, `clouds` (told where they are or not).",
        ),
    ] = "",
    workers: Workers = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of resamples and clouds.")] = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Score a forecast again with less to read, and say what each loss costs, with 95 % intervals.

    Fewer frames, one sensor or none, everything published at once or 15 days late, rain told from 10 and 30 km away
    (where the stack tells it), all Landsat frames under clouds; with --anew also nets that were told other numbers.
    Writes cases.csv and ablation.html: average precision and log skill per horizon, beside the law where there is one.

        headscarp ablate forecast/ domains.zarr --out ablation/ --anew metadata
    """
    from headscarp.report.ablation import write_ablation_page
    from headscarp.train.ablate import CSV_NAME
    from headscarp.train.ablate import ablate as ablate_on

    found = ablate_on(
        bundle,
        stack,
        out=out,
        part=part,
        tables=comma_list(tables),
        anew=comma_list(anew),
        workers=workers,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
    )
    page = write_ablation_page(found, stack, out)
    for sentence in found.sentences:
        say(sentence)
    tell(cases=out / CSV_NAME, page=page)
