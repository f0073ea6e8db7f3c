"""headscarp audit: does any test pixel leak into training?"""

from typing import Annotated

import typer

from headscarp.cli.options import BlockSize, Buffer, Fold, Folds, Seed, SplitOption, StackPath
from headscarp.cli.output import say, tell


def audit(
    stack: StackPath,
    split: SplitOption = None,
    block_size_m: BlockSize = None,
    buffer_m: Buffer = None,
    folds: Folds = None,
    fold: Fold = None,
    seed: Seed = None,
    net: Annotated[str, typer.Option("--net", help="Whose context to check: how far this net sees.")] = "sacnn",
) -> None:
    """Prove or disprove that the context of test pixels touches training pixels.

    A net that sees 150 pixels around each pixel sees training pixels from inside a test block unless there is a
    buffer between them. Overlapping context is not cheating by itself, the labels are unseen, but the test is easier
    than a new valley would be; the same pixel in two parts is a leak.

        headscarp audit stack.zarr --split split.geojson
    """
    from headscarp.core.stack import open_stack, stack_grid
    from headscarp.tiles.audit import audit as audit_split
    from headscarp.train.plan import chosen_split, context_of

    opened = open_stack(stack)
    options = {"block_size_m": block_size_m, "buffer_m": buffer_m, "folds": folds, "fold": fold, "seed": seed}
    chosen = chosen_split(opened, split, **options)
    report = audit_split(stack_grid(opened), chosen, halo_px=context_of(net, opened))
    say(report.text)
    tell(verdict=report.verdict)
    if report.verdict == "leak":
        raise typer.Exit(1)
