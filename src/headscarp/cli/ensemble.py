"""headscarp ensemble: several trainings of one net as one."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite
from headscarp.cli.output import say, tell


def ensemble(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLES...", help="Bundles of one net on one split, with other seeds.")
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Join trainings of one net that differ by their seed into one bundle: the mean of what they say.

    Of nets that judge places (forecast, kind). Maps of the joined bundle have further bands, "spread: ...": the
    standard deviation over members, which tells what the data did not teach.

        headscarp ensemble forecast-0/ forecast-1/ forecast-2/ --out forecast/
    """
    from headscarp.train.ensemble import ensemble as join

    joined = join(bundles, out, overwrite=overwrite)
    tell(bundle=out, members=joined.members)
    say(f"next: headscarp evaluate {out} STACK --out metrics/")
