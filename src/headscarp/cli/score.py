"""headscarp score: an inventory against another one, per object and per area."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Overwrite, Seed
from headscarp.cli.output import say, tell


def score(
    inventory: Annotated[Path, typer.Argument(metavar="INVENTORY", help="Polygons to judge: GeoPackage, GeoParquet.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Polygons to judge them by.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the table and the figure.")] = Path("scores"),
    area: Annotated[
        Path | None, typer.Option("--area", help="Polygons of what was looked at; the rest counts nowhere.")
    ] = None,
    found_share: Annotated[
        float, typer.Option("--found-share", help="Share of a slide that has to be covered to be found.", min=0.0)
    ] = 0.1,
    match_iou: Annotated[
        float, typer.Option("--match-iou", help="Intersection over union from which on a pair matches.", min=0.0)
    ] = 0.5,
    block_m: Annotated[
        float, typer.Option("--block-m", help="Side of the squares of ground that intervals resample.", min=1.0)
    ] = 1000.0,
    seed: Seed = None,
    overwrite: Overwrite = False,
) -> None:
    """Score an inventory against the truth: what was found, missed and false, by size, and how areas agree.

    A slide is found when a tenth of its area is covered; a polygon is false when less than a tenth of it lies on
    slides. Areas are true square metres of unions. Writes metrics.csv, metrics.json and objects.png.

        headscarp score inventory.gpkg truth.gpkg --out scores/
    """
    from headscarp.evaluation.objects import Rules
    from headscarp.report.objects import score_inventory

    rules = Rules(found_share, found_share, match_iou, block_m)
    found = score_inventory(inventory, truth, out=out, area=area, rules=rules, seed=seed or 0, overwrite=overwrite)
    say(found.text)
    tell(metrics=out / "metrics.csv", figure=found.figure)
