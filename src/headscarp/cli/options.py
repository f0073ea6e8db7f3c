"""Options that several verbs share, with the words that explain them."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write; refused if it exists, unless --overwrite.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what an interrupted run has finished.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Threads; default: all cores.", min=1)]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Address of a dask.distributed scheduler, to run the same blocks on a cluster."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random; default: the recipe's, or 0.")]
StackPath = Annotated[Path, typer.Argument(metavar="STACK", help="A stack made by `headscarp build`.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder made by `headscarp train`.")]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="`blocks`, `random`, of samples `given`, `groups` or `regions`, or a split.geojson. Default: that of the "
        "recipe, else `blocks`.",
    ),
]
BlockSize = Annotated[
    float | None, typer.Option("--block-size-m", help="Side of the blocks of a blocked split, in metres.", min=1.0)
]
Buffer = Annotated[
    float | None,
    typer.Option("--buffer-m", help="Training pixels nearer than this to a test block are left out.", min=0.0),
]
Folds = Annotated[int | None, typer.Option("--folds", help="Number of folds of the split.", min=2)]
Fold = Annotated[int | None, typer.Option("--fold", help="Which fold is the test part; the next one validates.", min=0)]

Delay = Annotated[
    float | None,
    typer.Option(
        "--delay-days",
        help="Days until a frame or a day of weather is published; default: as known of each source.",
        min=0.0,
    ),
]
HoldOut = Annotated[
    str | None,
    typer.Option("--hold-out-region", help="Region whose samples judge; the others train. Makes the split `regions`."),
]
LaterThan = Annotated[
    str | None,
    typer.Option("--later-than", help="With a held-out region: it judges from this date on, the others train before."),
]
Label = Annotated[
    str | None,
    typer.Option("--label", help="Which label band, where the stack has several, such as `scarp`."),
]


def comma_list(text: str) -> list[str]:
    """The items of a list given with commas."""
    return [item.strip() for item in text.split(",") if item.strip()]
