"""headscarp run: a whole recipe, from files to map and report."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite, Resume, Workers
from headscarp.cli.output import say, tell


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file; see recipes/ for complete ones.")],
    out: Out,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Do a whole recipe: build the stack, audit the split, compare the nets, map the best, write the report.

    Every step leaves its own result in the folder, and `--resume` goes on at the step, block or epoch that was
    interrupted.

        headscarp run recipes/balakot.toml --out balakot/
    """
    from headscarp.report.run import run_recipe

    result = run_recipe(recipe, out, workers=workers, resume=resume, overwrite=overwrite)
    for sentence in result.sentences:
        say(sentence)
    tell(report=result.report, map=result.map, metrics=result.metrics)
    say(f"look at: {result.report}")
