"""headscarp compare: the paper's Table 2 for your data, blocked and random split side by side."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import (
    BlockSize,
    Buffer,
    Folds,
    Label,
    Out,
    Overwrite,
    Resume,
    Seed,
    StackPath,
    Workers,
    comma_list,
)
from headscarp.cli.output import say, tell


def compare(
    stack: StackPath,
    out: Out,
    nets: Annotated[
        str,
        typer.Option(
            "--nets",
            help="Comma-separated: prevalence,random,slope,llr,nn,sann,cnn,sacnn,unet,deeplab,patch,anomaly,spectral,"
            "logistic,forest,multiscale_forest,threshold.",
        ),
    ] = "prevalence,random,slope,llr,nn,sann,cnn,sacnn,forest",
    label: Label = None,
    splits: Annotated[
        str | None,
        typer.Option(
            "--splits",
            help="Comma-separated: blocks,random,given,groups; default: blocks,random, of samples given, else random.",
        ),
    ] = None,
    folds: Folds = None,
    run_folds: Annotated[
        int | None, typer.Option("--run-folds", help="How many of the folds to run; default: 1.", min=1)
    ] = None,
    block_size_m: BlockSize = None,
    buffer_m: Buffer = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A TOML file: [train] for all nets, [train.NET] for one; default: the recipe's."),
    ] = None,
    seed: Seed = None,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train and test several nets on the same splits, and say in words which is better than which.

    Each net is trained on every split and scored on the same test pixels, with intervals from a block bootstrap;
    `forest` and `logistic` are scikit-learn baselines, `threshold` cuts the one band that parts landslides best. Nets
    that need no labels stand beside the others; `patch` is counted in patches, in a table of its own. A comparison that
    was stopped goes on with `--resume`.

        headscarp compare stack.zarr --nets prevalence,slope,llr,sacnn,forest --splits blocks,random --out compare/
    """
    from headscarp.core.stack import open_stack
    from headscarp.report.comparison import write_comparison_report
    from headscarp.report.detection import detection_tables
    from headscarp.train.compare import compare as compare_nets
    from headscarp.train.plan import chosen_configs, usual_splits

    opened = open_stack(stack)
    comparison = compare_nets(
        opened,
        comma_list(nets),
        out=out,
        label=label,
        splits=comma_list(splits) if splits else usual_splits(opened),
        split_options={"folds": folds, "block_size_m": block_size_m, "buffer_m": buffer_m, "seed": seed},
        run_folds=run_folds,
        configs=chosen_configs(opened, config, seed=seed),
        workers=workers,
        resume=resume,
        overwrite=overwrite,
    )
    page = write_comparison_report(comparison, opened, out)
    say(comparison.markdown)
    for table in detection_tables(comparison):
        say(f"{table.title}\n\n{table.markdown}")
    for sentence in comparison.sentences:
        say(sentence)
    tell(metrics=out / "metrics.csv", report=page)
