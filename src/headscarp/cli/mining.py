"""headscarp mining: which sites have become mines, ranked, with a dossier each."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite, Resume, Seed, comma_list
from headscarp.cli.output import say, tell


def mining(
    generator: Annotated[
        Path, typer.Argument(metavar="GENERATOR", help="A bundle that makes pictures and knows the task mining.")
    ],
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="A stack of pairs, or of scenarios, by `headscarp domains build`.")
    ],
    out: Out,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", help="A bundle of the net kind, vae or direct, to look with too; may be given again."),
    ] = None,
    concessions: Annotated[
        Path | None, typer.Option("--concessions", help="Polygons where mining is licensed; without, none is judged.")
    ] = None,
    protected: Annotated[Path | None, typer.Option("--protected", help="Polygons of protected areas.")] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="Tasks to compare mining with, with commas; default: all that are known."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="How many futures of each task.")] = 16,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Of a flow: steps from noise to a future; default: its own. Fewer are faster."),
    ] = None,
    prevalence: Annotated[
        float, typer.Option("--prevalence", help="Share of mines among sites that precision and chances are told at.")
    ] = 0.01,
    pooled: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Folder of a run on another held-out region, to judge with; may be given again."),
    ] = None,
    seed: Seed = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Rank pairs of pictures by how much what happened looks like a mine; a page for each, an index and GeoJSON.

    What is there after is compared with sampled futures under mining and under other tasks; that and other ways to look
    become one score, fitted on sites that no net has learned from and judged on the test part. An image shows no
    permit: a mine is called unlicensed only against a layer of concessions.

        headscarp mining flow/ mining.zarr --beside kind/ --concessions permits.gpkg --out evidence/
    """
    from headscarp.report.dossier import GEOJSON, open_layers, write_dossiers
    from headscarp.tiles.dataset import as_stack
    from headscarp.train.mining import SCORES, find_mines

    stack = as_stack(pairs)
    layers = open_layers(stack, protected=protected, concessions=concessions)
    evidence = find_mines(
        generator,
        stack,
        out,
        beside=beside or (),
        against=comma_list(against) if against else None,
        samples=samples,
        steps=steps,
        prevalence=prevalence,
        pooled=pooled or (),
        seed=seed or 0,
        resume=resume,
        overwrite=overwrite,
    )
    index = write_dossiers(evidence, out, layers, resume=resume)
    say(evidence.text)
    tell(index=index, sites=out / GEOJSON, scores=out / SCORES, metrics=out / "metrics.csv")
