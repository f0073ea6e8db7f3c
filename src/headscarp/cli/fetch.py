"""headscarp fetch: from a box on the map to data from public services, on one grid."""

from pathlib import Path
from typing import Annotated

import typer

from headscarp.cli.options import Overwrite, comma_list
from headscarp.cli.output import say, tell


def fetch(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results; what is there is gone on with.")],
    sources: Annotated[str, typer.Option("--sources", help="Names with commas; `headscarp datasets` lists them.")],
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--bbox", metavar="WEST SOUTH EAST NORTH", help="A box in degrees (WGS 84)."),
    ] = None,
    place: Annotated[Path | None, typer.Option("--place", help="Instead of a box: a file of polygons.")] = None,
    dates: Annotated[
        str | None, typer.Option("--dates", help="FIRST/LAST day, both included: 2019-01-01/2020-12-31.")
    ] = None,
    resolution_m: Annotated[float, typer.Option("--resolution-m", help="Side of a cell in metres.", min=0.1)] = 10.0,
    crs: Annotated[str | None, typer.Option("--crs", help="Default: the UTM zone of the place.")] = None,
    service: Annotated[
        list[str] | None,
        typer.Option("--service", help="SOURCE=NAME or SOURCE=ADDRESS: ask another service. May be given again."),
    ] = None,
    connections: Annotated[int, typer.Option("--connections", help="Requests at once.", min=1, max=64)] = 8,
    offline: Annotated[bool, typer.Option("--offline", help="Use only what the cache holds.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Accepted for symmetry: fetch always goes on.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fetch data for a place from public services onto one grid of true metres.

    Every source becomes a stack (`NAME.zarr`) or a table of shapes (`NAME.gpkg`), and `manifest.json` says where each
    byte came from and under which licence. Run the same command again to go on after an interruption, or to ask again
    for what could not be had; whatever was downloaded once comes from the cache.

        headscarp fetch --bbox -122.3 37.8 -121.9 38.1 --sources 3dep,landsat --dates 2019-01-01/2020-12-31 --out here/
    """
    from headscarp.assemble.fetch import fetch as fetch_sources
    from headscarp.assemble.fetch import known_source
    from headscarp.assemble.places import box_of_file, place_grid
    from headscarp.assemble.wanted import SourceRecipe, parse_dates
    from headscarp.core.errors import RecipeError
    from headscarp.sources.rasters import grid_crs
    from headscarp.sources.web.services import SERVICES

    if (bbox is None) == (place is None):
        raise RecipeError("where? give either --bbox WEST SOUTH EAST NORTH or --place FILE")
    for name in comma_list(sources):
        known_source(name)
    grid = place_grid(bbox or box_of_file(Path(place or "")), resolution_m, crs=crs)
    period = parse_dates(dates)
    names = comma_list(sources)
    others = dict(_pair(text, names) for text in service or ())
    wanted = [
        SourceRecipe(
            name=name,
            source=name,
            service=others.get(name) if others.get(name) in SERVICES else None,
            address=None if others.get(name) in SERVICES else others.get(name),
            dates=period,
        )
        for name in names
    ]
    say(f"grid: {grid.shape[1]} x {grid.shape[0]} cells of {resolution_m:g} m, {grid_crs(grid).name}")
    found = fetch_sources(grid, wanted, out, offline=offline, connections=connections, overwrite=overwrite)
    for missing in found.missing:
        say(f"missing: {missing.source} {missing.address} ({missing.why})")
    tell(
        **found.paths,
        manifest=found.manifest,
        downloaded=f"{found.bytes_read / 1e6:.1f} MB",
        missing=len(found.missing),
    )
    if found.missing:
        say(f"{len(found.missing)} pieces could not be had; the same command asks for them again")


def _pair(text: str, names: list[str]) -> tuple[str, str]:
    """SOURCE=NAME as a pair. Raises RecipeError."""
    from headscarp.core.errors import RecipeError

    source, sign, target = text.partition("=")
    if not sign or source not in names:
        raise RecipeError(f"--service {text!r}; needed: SOURCE=NAME or SOURCE=ADDRESS with a source of --sources")
    return source, target
