"""Inventories of a recipe as label layers, and the counts of what was read, lost and mended on the way.

Refuses layers without polygons on the grid; warns of every shape and point that does not become a label.
"""

import warnings
from typing import Any

from headscarp.assemble.layers import PointLabel, PolygonLabel, label_points
from headscarp.assemble.recipe import Recipe
from headscarp.assemble.tables import LabelRecipe
from headscarp.core.band import Band
from headscarp.core.errors import HeadscarpWarning
from headscarp.core.grid import Grid
from headscarp.sources.points import Points
from headscarp.sources.vectors import Vector, cells_of, check_overlap, check_polygons, load_features


def label_layer(
    recipe: Recipe, name: str, wanted: LabelRecipe, grid: Grid, counts: dict[str, Any]
) -> PolygonLabel | PointLabel:
    """The layer of an inventory, and under its name in `counts` what was read, lost and mended. Raises SourceError."""
    if wanted.points is not None:
        points = Points(
            str(recipe.file(wanted.points)), wanted.x, wanted.y, wanted.value, wanted.crs, wanted.layer, wanted.where
        )
        cells = label_points(points, grid)
        counts[name] = {"total": cells.total, "outside": cells.outside, "shared": cells.shared}
        tell_count(cells.outside, cells.total, f"labelled points of {points.path} lie outside the grid")
        tell_count(cells.shared, cells.total, f"labelled points of {points.path} share their cell with another point")
        return PointLabel(Band(name, "label", "1", wanted.points), points)
    vector = Vector(str(recipe.file(str(wanted.polygons))), wanted.layer, wanted.where)
    check_shapes(vector, grid, name, counts)
    features = load_features(vector, grid)
    lost = int((cells_of(features, grid, all_touched=wanted.all_touched) == 0).sum()) - features.outside
    counts[name] |= {"lost": lost, "all_touched": wanted.all_touched}
    tell_count(features.outside, features.total, f"labels of {vector.path} lie outside the grid")
    hint = "all_touched = true under [label] keeps them, and makes all others a little larger"
    tell_count(
        lost, features.total, f"labels of {vector.path} are smaller than a pixel and cover no cell centre; {hint}"
    )
    complete = None
    if wanted.complete is not None:
        complete = Vector(str(recipe.file(wanted.complete)))
        check_shapes(complete, grid, f"{name}: complete", counts)
    return PolygonLabel(Band(name, "label", "1", str(wanted.polygons)), vector, wanted.all_touched, complete)


def check_shapes(vector: Vector, grid: Grid, name: str, counts: dict[str, Any]) -> None:
    """Checks a layer of polygons and counts what is in it."""
    features = load_features(vector, grid)
    check_polygons(features, vector)
    check_overlap(features, vector, grid)
    counts[name] = {
        "total": features.total,
        "empty": features.empty,
        "repaired": features.repaired,
        "outside": features.outside,
    }
    tell_count(features.repaired, features.total, f"polygons of {vector.path} were invalid and have been mended")
    tell_count(features.empty, features.total, f"rows of {vector.path} have no shape and were left out")


def tell_count(count: int, total: int, what: str) -> None:
    if count > 0:
        warnings.warn(f"{count} of {total} {what}", HeadscarpWarning, stacklevel=2)
