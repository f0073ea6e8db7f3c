"""headscarp build: from a recipe to one analysis-ready stack."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Out, Overwrite, Resume, Scheduler, Workers
from headscarp.cli.output import say, tell


def build(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file; see recipes/ for complete ones.")],
    out: Out,
    workers: Workers = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and say what would be built.")] = False,
) -> None:
    """Build one analysis-ready stack (Zarr) from a recipe: warped rasters, rasterised polygons, terrain, labels.

    Everything is brought onto one grid, block by block, so rasters may be larger than memory. A build that was
    stopped goes on with `--resume`.

        headscarp build recipes/balakot.toml --out stack.zarr
    """
    from headscarp.assemble.build import build as build_stack
    from headscarp.assemble.recipe import read_recipe

    parsed = read_recipe(recipe)
    if dry_run and parsed.chips is not None:
        from headscarp.assemble.samples import find_samples

        samples = find_samples(parsed.chips, parsed.folder)
        masks = sum(sample.mask is not None for sample in samples)
        say(f"{len(samples)} chips, {masks} with a mask; parts: {', '.join(sorted({s.part for s in samples} - {''}))}")
        return
    if dry_run:
        from headscarp.assemble.plan import make_plan

        plan = make_plan(parsed)
        say(f"{plan.grid.shape[1]} x {plan.grid.shape[0]} cells, {plan.grid.crs}")
        for layer in plan.layers:
            say(f"{layer.band.name}: {layer.band.kind}, {layer.band.units}, from {layer.band.source}")
        return
    stack = build_stack(parsed, out, workers=workers, scheduler=scheduler, resume=resume, overwrite=overwrite)
    tell(stack=out, **describe_stack(stack))


def describe_stack(stack) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """What a person wants to know of a stack at a glance."""
    from headscarp.core.grid import ground_resolution_m
    from headscarp.core.samples import has_samples, stack_resolution_m
    from headscarp.core.stack import feature_bands, stack_grid

    if has_samples(stack):
        size = f"{stack.sizes['x']} x {stack.sizes['y']} pixels of {stack_resolution_m(stack):.4g} m"
        parts = stack.attrs.get("report", {}).get("parts", {})
        where = {
            "samples": f"{stack.sizes['sample']} of {size}",
            "parts": ", ".join(f"{name} {count}" for name, count in parts.items()),
        }
    else:
        grid = stack_grid(stack)
        where = {
            "size": f"{grid.shape[1]} x {grid.shape[0]} cells of {ground_resolution_m(grid):.4g} m",
            "crs": f"EPSG:{grid.crs.epsg}" if grid.crs and grid.crs.epsg else str(grid.crs)[:60],
        }
    return {
        **where,
        "features": ", ".join(
            f"{b.name} ({b.units if b.kind != 'categorical' else 'classes'})" for b in feature_bands(stack)
        ),
    }
