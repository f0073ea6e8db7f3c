"""headscarp predict: from a bundle and a stack to a map of any size."""

from typing import Annotated

import typer

from headscarp.cli.options import BundlePath, Out, Overwrite, Resume, Scheduler, StackPath, Workers
from headscarp.cli.output import say, tell


def predict(
    bundle: BundlePath,
    stack: StackPath,
    out: Out,
    engine: Annotated[
        str, typer.Option("--engine", help="torch, or openvino (pip install headscarp[openvino]).")
    ] = "torch",
    precision: Annotated[
        str, typer.Option("--precision", help="float32, or bf16: faster, its error is reported.")
    ] = "float32",
    block_px: Annotated[
        int, typer.Option("--block-px", help="Side of the blocks; memory grows with it.", min=512)
    ] = 1024,
    workers: Workers = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a probability map of any size in constant memory, as a Cloud-Optimized GeoTIFF with a QGIS style.

    Blocks are read with exactly the context that the net needs, so there are no seams. After a crash or `kill -9`,
    `--resume` gives the same bytes as an undisturbed run. A STAC item beside the map says how it was made.

        headscarp predict sacnn/ stack.zarr --out map.tif
    """
    from headscarp.prediction.raster import predict as predict_raster

    path = predict_raster(
        bundle,
        stack,
        out,
        engine=engine,
        precision=precision,
        block_px=block_px,
        workers=workers,
        scheduler=scheduler,
        resume=resume,
        overwrite=overwrite,
    )
    tell(map=path, style=path.with_suffix(".qml"), item=path.with_suffix(".json"))
    say(f"next: open {path} in QGIS, or: headscarp info {path}")
