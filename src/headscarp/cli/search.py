"""headscarp search: learning rate and optimiser by cross-validation."""

from typing import Annotated

import typer

from headscarp.cli.options import BlockSize, Buffer, Label, Out, Overwrite, Resume, Seed, SplitOption, StackPath
from headscarp.cli.output import say, tell


def search(
    stack: StackPath,
    net: Annotated[str, typer.Option("--net", help="Which net to search for.")],
    out: Out,
    label: Label = None,
    split: SplitOption = None,
    block_size_m: BlockSize = None,
    buffer_m: Buffer = None,
    folds: Annotated[int, typer.Option("--folds", help="Folds of the cross-validation.", min=2)] = 5,
    epochs: Annotated[int, typer.Option("--epochs", help="Epochs of each trial; the paper used 1.", min=1)] = 1,
    seed: Seed = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Find learning rate and optimiser by k-fold cross-validation inside the training part.

    The folds are made of training blocks only, mixed so that each holds both classes; validation and test pixels are
    never touched. Each trial is journalled, so a stopped search goes on with `--resume`.

        headscarp search stack.zarr --net sacnn --out search/
    """
    from headscarp.core.stack import open_stack
    from headscarp.train.plan import chosen_split
    from headscarp.train.search import search as search_settings

    opened = open_stack(stack)
    chosen = chosen_split(opened, split, block_size_m=block_size_m, buffer_m=buffer_m, seed=seed)
    found = search_settings(
        opened,
        net=net,
        out=out,
        split=chosen,
        label=label,
        folds=folds,
        epochs=epochs,
        resume=resume,
        overwrite=overwrite,
    )
    say(found.text)
    tell(table=out / "search.csv", optimiser=found.best.optimiser, learning_rate=found.best.learning_rate)
