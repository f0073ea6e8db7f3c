"""headscarp evaluate: how good is a bundle, on pixels that it has not seen?"""

from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Label, Out, Overwrite, StackPath, Workers
from headscarp.cli.output import say, tell


def evaluate(
    bundle: BundlePath,
    stack: StackPath,
    out: Out,
    split: Annotated[
        str | None, typer.Option("--split", help="A split.geojson; default: the one the bundle was trained with.")
    ] = None,
    label: Label = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Score a bundle on training, validation and test pixels, with 95 % intervals from a block bootstrap.

    Writes metrics.csv, metrics.json, figures and one self-contained report.html. The skill is measured against the
    best constant: 0 means no better than knowing how common landslides are.

        headscarp evaluate sacnn/ stack.zarr --out metrics/
    """
    from headscarp.evaluation.evaluate import evaluate as score
    from headscarp.report.evaluation import write_evaluation_report

    evaluation = score(bundle, stack, out=out, split=split, label=label, workers=workers, overwrite=overwrite)
    page = write_evaluation_report(evaluation, bundle, stack, out)
    say(evaluation.text)
    tell(metrics=out / "metrics.csv", report=page)
