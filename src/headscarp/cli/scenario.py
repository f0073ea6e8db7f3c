"""headscarp scenario: what a place would look like after a task, as many futures."""

from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Out, Overwrite, Resume, StackPath, Workers
from headscarp.cli.output import say, tell


def scenario(
    bundle: BundlePath,
    stack: StackPath,
    task: Annotated[str, typer.Option("--task", help="What is done, such as mining; an unknown one lists the known.")],
    out: Out,
    samples: Annotated[int, typer.Option("--samples", help="How many futures.")] = 16,
    after_days: Annotated[
        float | None, typer.Option("--after-days", help="Days from the task to the picture; default: untold.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option("--date", help="Of a series the newest frame up to this day; tells the season of a single one."),
    ] = None,
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
        stack,
        out,
        task=task,
        samples=samples,
        after_days=after_days,
        date=date,
        block_px=block_px,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
    )
    sheet = draw_contact_sheet(made.futures, made.spread, stack, out / "contact-sheet.png", task=task, date=date)
    tell(futures=f"{len(made.futures)} in {out}", spread=made.spread, sheet=sheet)
    say(f"next: look at {sheet}; each future is one of many that could be")
