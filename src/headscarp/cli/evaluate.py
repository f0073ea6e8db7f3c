"""headscarp evaluate: how good is a bundle, on pixels that it has not seen?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headscarp.cli.options import BundlePath, Delay, Label, Out, Overwrite, StackPath, Workers
from headscarp.cli.output import say, tell

if TYPE_CHECKING:
    from headscarp.core.bundle import Bundle


def evaluate(
    bundle: BundlePath,
    stack: StackPath,
    out: Out,
    split: Annotated[
        str | None, typer.Option("--split", help="A split.geojson; default: the one the bundle was trained with.")
    ] = None,
    trained_on: Annotated[
        Path | None,
        typer.Option(
            help="Of a net that makes pictures: the stack it learned from. STACK is another one, and all of its places "
            "are judged."
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Of a net that makes pictures: another bundle, judged on the same; again.")
    ] = None,
    label: Label = None,
    delay_days: Delay = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Score a bundle on training, validation and test pixels, with 95 % intervals from a block bootstrap.

    Writes metrics.csv, metrics.json, figures and one self-contained report.html. The skill is measured against the
    best constant: 0 means no better than knowing how common landslides are.

    A forecast is scored per horizon on places and dates, beside its opponents, by region, with the gap between known
    regions and the one held out. Classes of places are scored beside the majority and a random forest.

    A net that makes pictures is scored by suites of sixteen futures of each place and task of the test part, beside the
    input itself, the change of the most alike training place and, of simulated worlds, their own other futures; what it
    has more than each of them is in differences.csv.

        headscarp evaluate sacnn/ stack.zarr --out metrics/
        headscarp evaluate flow/ new.zarr --trained-on scenarios.zarr --beside direct/ --out metrics/
    """
    from headscarp.core.bundle import open_bundle
    from headscarp.core.errors import RecipeError
    from headscarp.train.judging import judges_places
    from headscarp.train.kinds import judges_classes
    from headscarp.train.suites import makes_pictures

    opened = open_bundle(bundle)
    if makes_pictures(opened):
        more = {"split": split, "trained_on": trained_on, "beside": beside or ()}
        _evaluate_suites(opened, stack, out, **more, workers=workers, overwrite=overwrite)
        return
    if trained_on is not None or beside:
        raise RecipeError(
            f"--trained-on and --beside are for nets that make pictures, and the bundle holds the net {opened.net!r}; "
            "leave them out"
        )
    if judges_classes(opened):
        _evaluate_kinds(opened, stack, out, split=split, workers=workers, overwrite=overwrite)
        return
    if judges_places(opened):
        _evaluate_places(opened, stack, out, split=split, workers=workers, delay_days=delay_days, overwrite=overwrite)
        return
    from headscarp.evaluation.evaluate import evaluate as score
    from headscarp.report.evaluation import write_evaluation_report

    evaluation = score(bundle, stack, out=out, split=split, label=label, workers=workers, overwrite=overwrite)
    page = write_evaluation_report(evaluation, bundle, stack, out)
    say(evaluation.text)
    tell(metrics=out / "metrics.csv", report=page)


def _evaluate_kinds(bundle: "Bundle", stack: Path, out: Path, **options: Any) -> None:
    from headscarp.core.stack import open_stack
    from headscarp.report.kinds import write_kinds_report
    from headscarp.report.page import notice_of
    from headscarp.train.kinds import judge_kinds

    evaluation = judge_kinds(bundle, stack, out=out, **options)
    page = write_kinds_report(evaluation, out, notice=notice_of(open_stack(stack).attrs))
    say(evaluation.text)
    tell(metrics=out / "metrics.csv", report=page)


def _evaluate_places(bundle: "Bundle", stack: Path, out: Path, **options: Any) -> None:
    from headscarp.report.forecast import write_places_report
    from headscarp.train.judging import judge_places

    evaluation = judge_places(bundle, stack, out=out, **options)
    page = write_places_report(evaluation, stack, out)
    say(evaluation.text)
    tell(metrics=out / "metrics.csv", report=page)


def _evaluate_suites(bundle: "Bundle", stack: Path, out: Path, **options: Any) -> None:
    from headscarp.report.futures import draw_alike, draw_examples
    from headscarp.train.suiterows import DIFFERENCES
    from headscarp.train.suites import RANKS, judge_suites

    evaluation = judge_suites(bundle, stack, out=out, **options)
    made = {"examples": draw_examples(evaluation, out / "examples.png")}
    if evaluation.alike:
        made["same_futures"] = draw_alike(evaluation, out / "same-futures.png")
    say(evaluation.text)
    tell(metrics=out / "metrics.csv", differences=out / DIFFERENCES, ranks=out / RANKS, **made)
