"""headscarp planting: where trees lower the risk of landslides most, within a budget."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headscarp.cli.options import Out, Overwrite, Seed
from headscarp.cli.output import say, tell


def planting(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[GENERATOR] [RISK] STACK...",
            help="The stack of the place; before it, if any, bundles by `headscarp train`: one that gives risk, such "
            "as a forecast, and one that draws reforestation.",
        ),
    ],
    out: Out,
    budget_ha: Annotated[
        float | None, typer.Option("--budget-ha", help="How much is planted at most; of each place with --judge.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", help="Whose gain ranks cells: `learned` (of the risk bundle, where given) or `physics`."),
    ] = None,
    date: Annotated[str | None, typer.Option("--date", help="The day of the picture; a forecast needs it.")] = None,
    candidates: Annotated[
        list[Path] | None,
        typer.Option("--candidates", help="A vector layer of where planting is allowed; default: open ground."),
    ] = None,
    deep: Annotated[
        list[Path] | None, typer.Option("--deep", help="A vector layer of deep slides, which roots do not hold.")
    ] = None,
    patch_ha: Annotated[float, typer.Option("--patch-ha", help="The least patch that is planted.")] = 0.5,
    roots_kpa: Annotated[
        float | None,
        typer.Option("--roots-kpa", help="Cohesion of grown roots; default: by Wu et al., 7.2 kPa.", min=0),
    ] = None,
    root_depth_m: Annotated[
        float, typer.Option("--root-depth-m", help="Roots hold no slide that is deeper than this.", min=0)
    ] = 1.5,
    judge: Annotated[
        bool, typer.Option("--judge", help="Score plans on held-out simulated places, which know the true risk.")
    ] = False,
    seed: Seed = None,
    overwrite: Overwrite = False,
) -> None:
    """Choose where to plant trees so that the risk of shallow landslides falls most, within a budget.

    The gain of a cell is its risk without less that with grown trees: by a bundle that gives risk, from the picture as
    it is and as it would be, or without one by the physics of shallow slides with root cohesion. Writes the plan as a
    GeoPackage, and beside it a map (GeoTIFF), the promise by years (CSV), a picture and a page.

        headscarp planting stack.zarr --budget-ha 50 --out plan.gpkg

        headscarp planting flow/ nn/ stack.zarr --budget-ha 50 --out plan.gpkg

    With --judge plans are scored on simulated scenarios with `slides = true`: the true share of the risk that each
    takes away, beside chance, the steepest, the riskiest, and the greatest gain of safety:

        headscarp planting nn/ slides.zarr --judge --budget-ha 3 --out plans/

    A forecast in place of `nn/` needs scenarios that begin with frames (`frames = 8`).
    """
    from headscarp.core.errors import RecipeError

    bundles = [path for path in paths if (path / "bundle.json").exists()]
    stacks = [path for path in paths if path not in bundles]
    if not stacks:
        raise RecipeError("no stack was given; name it last, such as: headscarp planting stack.zarr")
    generator, risk = _told_apart(bundles)
    if judge:
        _judge(risk, stacks[0], out, budget_ha=budget_ha or 3.0, seed=seed or 0, overwrite=overwrite)
        return
    if budget_ha is None:
        raise RecipeError("nothing says how much may be planted; say --budget-ha 50")
    from headscarp.prediction.planting import plan_planting
    from headscarp.report.planting import checked_plan_name, plan_in_words, write_plan

    checked_plan_name(out, overwrite=overwrite)
    found = plan_planting(
        stacks,
        budget_ha=budget_ha,
        risk=risk,
        generator=generator,
        by=by,
        date=date,
        candidates=candidates or (),
        deep=deep or (),
        patch_ha=patch_ha,
        roots_kpa=roots_kpa,
        root_depth_m=root_depth_m,
        seed=seed or 0,
    )
    files = write_plan(found, out, overwrite=overwrite)
    for sentence in plan_in_words(found):
        say(sentence)
    tell(plan=files.plan, map=files.map, years=files.years, figure=files.figure, page=files.page)


def _told_apart(bundles: list[Path]) -> tuple[Any, Any]:
    """The generator and the bundle that gives risk. Raises RecipeError for two of a kind."""
    from headscarp.core.bundle import open_bundle
    from headscarp.core.errors import RecipeError
    from headscarp.train.suites import makes_pictures

    opened = [open_bundle(path) for path in bundles]
    generators = [bundle for bundle in opened if makes_pictures(bundle)]
    risks = [bundle for bundle in opened if not makes_pictures(bundle)]
    if len(generators) > 1 or len(risks) > 1:
        raise RecipeError(
            f"{len(generators)} generators and {len(risks)} bundles of risk were given; give at most one of each"
        )
    return next(iter(generators), None), next(iter(risks), None)


def _judge(risk: Any, stack: Path, out: Path, *, budget_ha: float, seed: int, overwrite: bool) -> None:
    from headscarp.report.planting import draw_plantings
    from headscarp.train.plantings import judge_plantings

    found = judge_plantings(risk, stack, out=out, budget_ha=budget_ha, seed=seed, overwrite=overwrite)
    figure = draw_plantings(found, out / "plans.png")
    say(found.text)
    tell(metrics=out / "metrics.csv", figure=figure)
