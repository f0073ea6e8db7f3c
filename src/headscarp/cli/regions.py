"""headscarp regions: does a forecast hold in a region that it has not seen?"""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Delay, Out, Overwrite, Resume, Seed, StackPath, Workers, comma_list
from headscarp.cli.output import say, tell


def regions(
    stack: StackPath,
    out: Out,
    net: Annotated[str, typer.Option("--net", help="A net that judges places over time.")] = "forecast",
    only: Annotated[
        str, typer.Option("--only", help="Regions to hold out, comma-separated; default: each of them once.")
    ] = "",
    curve: Annotated[
        str | None,
        typer.Option("--curve", help="A region that also judges nets which learned from 1, 2, ... of the others."),
    ] = None,
    delay_days: Delay = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with [train] and [train.NET]; default: the recipe's.")
    ] = None,
    workers: Workers = None,
    seed: Seed = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a forecast with each region held out, and say what it loses there, with 95 % intervals.

    Each region takes a training, and so does each point of the curve by number of training regions; all of it can be
    stopped and continued with --resume. Writes metrics.csv, the bundles and regions.html, the law beside where the
    world is simulated.

        headscarp regions domains.zarr --out regions/ --curve india
    """
    from headscarp.core.stack import open_stack
    from headscarp.report.leaveout import gap_words, write_regions_page
    from headscarp.tiles.series import with_delay
    from headscarp.train.leaveout import leave_out
    from headscarp.train.plan import chosen_configs

    opened = with_delay(open_stack(stack), delay_days)
    configs = chosen_configs(opened, config, workers=workers, seed=seed)
    found = leave_out(
        opened,
        net=net,
        out=out,
        regions=comma_list(only),
        curve=curve,
        config=configs.get(net, configs[""]),
        workers=workers,
        seed=seed or 0,
        resume=resume,
        overwrite=overwrite,
    )
    page = write_regions_page(found, opened, out)
    for sentence in gap_words(found):
        say(sentence)
    tell(metrics=out / "metrics.csv", page=page)
