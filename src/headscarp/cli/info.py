"""headscarp info: what is this file, and how was it made?"""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.output import tell


def info(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A map, a stack, a bundle or a split made by Headscarp.")
    ],
) -> None:
    """Say what a file is, what is in it, and how it was made.

    headscarp info map.tif
    """
    from headscarp.report.describe import describe

    tell(**describe(path))
