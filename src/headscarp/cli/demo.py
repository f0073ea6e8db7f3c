"""headscarp demo: the whole job on a simulated valley, with no data and no network."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Overwrite, Resume, Workers
from headscarp.cli.output import say, tell


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another valley.")] = 0,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Do the whole job on a simulated valley: stack, five nets, both splits, map and report, in about three minutes.

    Landslides are drawn from a known physical law, so the report can say how far each net is from the best possible
    skill: the law's own.

        headscarp demo --out demo/
    """
    from headscarp.report.demo import run_demo

    result = run_demo(out, seed=seed, workers=workers, resume=resume, overwrite=overwrite)
    for sentence in result.sentences:
        say(sentence)
    tell(report=result.report, map=result.map, metrics=result.metrics)
    say(f"look at: {result.report}")
