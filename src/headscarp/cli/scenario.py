"""headscarp scenario: what a place would look like after a task, as many futures."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Out, Overwrite, Resume, Workers
from headscarp.cli.output import say, tell


def scenario(
    bundle: BundlePath,
    stacks: Annotated[
        list[Path],
        typer.Argument(
            metavar="STACKS...",
            help="The stack of a place; or several on one grid (scenes, elevation) for a bundle that reads series.",
        ),
    ],
    task: Annotated[str, typer.Option("--task", help="What is done, such as mining; an unknown one lists the known.")],
    out: Out,
    samples: Annotated[int, typer.Option("--samples", help="How many futures.")] = 16,
    after_days: Annotated[
        float | None, typer.Option("--after-days", help="Days from the task to the picture; default: untold.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            "--date",
            help="Frames up to this day are read: all by a bundle that reads series, else the newest. Tells the season "
            "of a single picture.",
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", help="Of a series at most so many frames, the newest.", min=1)
    ] = 24,
    block_px: Annotated[
        int,
        typer.Option("--block-px", help="Side of the blocks; larger ones are faster and take more memory.", min=512),
    ] = 512,
    workers: Workers = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw futures of a place under a task: a Cloud-Optimized GeoTIFF each, a contact sheet, and maps of their spread.

    In constant memory, whatever the size. All files say that they were generated: nobody has seen what they show. A
    stack that is built from them is refused as training data.

        headscarp scenario flow/ stack.zarr --task mining --samples 16 --out futures/
    """
    from headscarp.prediction.futures import scenario as draw_futures
    from headscarp.report.futures import draw_contact_sheet

    made = draw_futures(
        bundle,
        stacks,
        out,
        task=task,
        samples=samples,
        after_days=after_days,
        date=date,
        frames=frames,
        block_px=block_px,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
    )
    sheet = draw_contact_sheet(made.futures, made.spread, made.before, out / "contact-sheet.png", task=task)
    tell(futures=f"{len(made.futures)} in {out}", spread=made.spread, sheet=sheet)
    say(f"next: look at {sheet}; each future is one of many that could be")
