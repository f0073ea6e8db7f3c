"""headscarp advise: which method for the labels at hand, and what another hour of labelling would buy."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import (
    BlockSize,
    Buffer,
    Folds,
    Label,
    Overwrite,
    Resume,
    Seed,
    StackPath,
    Workers,
    comma_list,
)
from headscarp.cli.output import say, tell


def advise(
    stack: StackPath,
    label: Label = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Measure it: train with growing shares of the labels; needs --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the curve; refused if it exists, unless --overwrite.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option("--methods", help="Comma-separated nets and table models; default: as the labels suggest."),
    ] = None,
    shares: Annotated[
        str, typer.Option("--shares", help="Per cent of the training labels, comma-separated.")
    ] = "0,1,5,25,100",
    minutes_per_slide: Annotated[
        float, typer.Option("--minutes-per-slide", help="Minutes that drawing one landslide takes.", min=0.01)
    ] = 3.0,
    block_size_m: BlockSize = None,
    buffer_m: Buffer = None,
    folds: Folds = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A TOML file: [train] for all nets, [train.NET] for one; default: the recipe's."),
    ] = None,
    seed: Seed = None,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Say which method suits the labels at hand, and why; with --curve, measure what more labels would bring.

    The rules stand in the documentation. A curve trains each method with 0, 1, 5, 25 and 100 % of the training labels
    and scores all on the same test part, which is never touched; it can be stopped and continued with --resume.

        headscarp advise stack.zarr
        headscarp advise stack.zarr --curve --out ladder/ --methods llr,forest,threshold
    """
    from headscarp.core.errors import RecipeError
    from headscarp.core.samples import PART, has_samples
    from headscarp.core.stack import open_stack, with_label
    from headscarp.nets import NETS
    from headscarp.tiles.labels import count_labels
    from headscarp.train.advice import advise as advise_on
    from headscarp.train.tables import TABLE_MODELS

    if curve and out is None:
        raise RecipeError("a curve writes a table and a figure, and --out is not given; add --out ladder/")
    opened = open_stack(stack)
    counts = count_labels(with_label(opened, label))
    kind = "blocks" if not has_samples(opened) else "given" if PART in opened.coords else "random"
    known = (*NETS, *TABLE_MODELS)
    advice = advise_on(counts, methods=known, stack=str(stack), split=kind, minutes=minutes_per_slide)
    say(advice.text)
    if not curve or out is None:
        tell(rule=advice.rule, methods=", ".join(advice.methods) or "none")
        return
    from headscarp.report.ladder import write_ladder_figure
    from headscarp.train.ladder import climb
    from headscarp.train.plan import chosen_configs

    ladder = climb(
        opened,
        None if methods is None else comma_list(methods),
        out=out,
        label=label,
        shares=_numbers(shares),
        minutes_per_slide=minutes_per_slide,
        split_options={"folds": folds, "block_size_m": block_size_m, "buffer_m": buffer_m, "seed": seed},
        configs=chosen_configs(opened, config, seed=seed),
        workers=workers,
        seed=seed or 0,
        resume=resume,
        overwrite=overwrite,
    )
    say("")
    for sentence in ladder.sentences:
        say(sentence)
    for (share, net), why in ladder.missing.items():
        say(f"No score of {net} with {share:g} %: {why}.")
    figure = write_ladder_figure(ladder, out)
    tell(rule=advice.rule, metrics=out / "metrics.csv", figure=figure)


def _numbers(text: str) -> list[float]:
    """Numbers given with commas. Raises RecipeError."""
    from headscarp.core.errors import RecipeError

    try:
        return [float(word) for word in comma_list(text)]
    except ValueError as error:
        raise RecipeError(f"--shares is {text!r}; needed: numbers with commas, such as 0,1,5,25,100") from error
