"""The recipe of a stack: a complete TOML file, read into frozen values and checked.

Refuses keys it does not know (naming the nearest one that it does), bands without a source, and names given twice.
It opens none of the files that it names. The sections [train] and [compare] stay plain values for whoever uses them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from headscarp.assemble.keys import as_table, make, nearest, plain, read_toml
from headscarp.assemble.samples import ChipsRecipe, chips_from_table
from headscarp.assemble.tables import (
    RESERVED,
    SPLIT_KEYS,
    AreaRecipe,
    BandRecipe,
    GridRecipe,
    LabelRecipe,
    band_from_table,
    check_bands,
    check_grid,
    label_from_table,
)
from headscarp.assemble.wanted import SOURCE, SourceRecipe, source_from_table, source_name
from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.stack import LABEL
from headscarp.sources.codelists import PREFIX as INSPIRE
from headscarp.sources.datasets import dataset_file


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a stack, and what to do with it afterwards.

    label: one inventory, or several by the name of their band. sources: what is fetched first. chips: a folder of
    samples, instead of grid, bands and label. folder: what relative paths start from; fetched: where the results of the
    sources stand, once they are there.
    """

    name: str
    grid: GridRecipe
    bands: tuple[BandRecipe, ...]
    seed: int = 0
    area: AreaRecipe | None = None
    label: LabelRecipe | Mapping[str, LabelRecipe] | None = None
    split: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    compare: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[SourceRecipe, ...] = ()
    chips: ChipsRecipe | None = None
    folder: Path = field(default=Path(), compare=False)
    fetched: Path | None = field(default=None, compare=False)

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain values; paths stay as they were given."""
        tables = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name not in _APART}
        sources = {"source": [source.as_table() for source in self.sources]} if self.sources else {}
        if self.chips is not None:
            return {key: value for key, value in tables.items() if key not in ("grid", "area", "label")}
        tables.pop("chips")
        return {**tables, **sources, "band": [plain(band) for band in self.bands]}

    @property
    def labels(self) -> Mapping[str, LabelRecipe]:
        """The inventories by the name of their label band, in order: one from [label], or those of its named tables."""
        if self.label is None:
            return {}
        return {LABEL: self.label} if isinstance(self.label, LabelRecipe) else self.label

    def file(self, reference: str) -> Path:
        """The file behind a path, a "dataset:NAME/FILE" or a "source:NAME" of this recipe. Raises SourceError."""
        if reference.startswith("dataset:"):
            return dataset_file(reference)
        if reference.startswith(SOURCE):
            return self._fetched_file(reference)
        return (self.folder / Path(reference).expanduser()).absolute()

    def references(self) -> list[str]:
        """Everything that the recipe names as input, each once: paths, data sets and sources."""
        found: list[str | None] = [self.grid.like, self.grid.place]
        for band in self.bands:
            found += [getattr(band, key, None) for key in ("raster", "vector", "distance_to", "codes", "composite")]
        found += [self.area.polygons] if self.area else []
        for label in self.labels.values():
            found += [label.polygons, label.points, label.complete]
        return list(dict.fromkeys(one for one in found if one and not one.startswith(INSPIRE)))

    def _fetched_file(self, reference: str) -> Path:
        name = source_name(reference)
        if self.fetched is None:
            raise SourceError(f"{reference} has not been fetched yet; headscarp build and run fetch it first")
        for path in (self.fetched / f"{name}.zarr", self.fetched / f"{name}.gpkg"):
            if path.exists():
                return path
        raise SourceError(f"{self.fetched} holds nothing named {name!r}; fetch it again")


_APART = ("bands", "sources", "folder", "fetched")
_OF_DOMAINS = ("simulate", "antecedents", "pairs", "scenarios")


def read_recipe(path: str | Path) -> Recipe:
    """A recipe from a TOML file. Raises RecipeError that names the section and key."""
    return recipe_from_dict(read_toml(path), folder=Path(path).absolute().parent)


def recipe_from_dict(data: Mapping[str, Any], *, folder: str | Path = ".") -> Recipe:
    """A recipe from plain values, as TOML gives them: see recipes/ for complete ones. Raises RecipeError."""
    for key in _OF_DOMAINS:
        if key in data:
            raise RecipeError(f"the recipe has [{key}], so it is one of domains; use: headscarp domains build")
    public = [f.name for f in fields(Recipe) if f.name not in _APART]
    for key in data:
        nearest(str(key), (*public, "band", "source"), "key", "the recipe")
    data = dict(data)
    tables = as_table(data.pop("band", []), "[[band]]", list)
    bands = tuple(band_from_table(table, number) for number, table in enumerate(tables))
    wanted = as_table(data.pop("source", []), "[[source]]", list)
    data |= {"bands": bands, "sources": tuple(source_from_table(table, n) for n, table in enumerate(wanted))}
    if data.get("chips") is not None:
        return _recipe_of_chips(data, Path(folder))
    data["grid"] = make(GridRecipe, data.get("grid"), "[grid]")
    if data.get("area") is not None:
        data["area"] = make(AreaRecipe, data["area"], "[area]")
    if data.get("label") is not None:
        data["label"] = label_from_table(as_table(data["label"], "[label]"))
    recipe: Recipe = make(Recipe, {**data, "folder": Path(folder)}, "the recipe")
    check_grid(recipe.grid)
    check_bands(bands)
    _check_labels(recipe)
    _check_sources(recipe)
    _check_split(recipe)
    return recipe


def _recipe_of_chips(data: dict[str, Any], folder: Path) -> Recipe:
    """A recipe whose samples say grid, bands and label. Raises RecipeError where a section says them as well."""
    told = [key for key in ("grid", "band", "label", "area", "source") if data.get(key) or data.get(f"{key}s")]
    if told:
        raise RecipeError(f"the recipe has [chips] and {', '.join(told)}; chips share no grid: leave {told[0]} out")
    chips = chips_from_table(data["chips"])
    recipe: Recipe = make(Recipe, {**data, "chips": chips, "grid": GridRecipe(), "folder": folder}, "the recipe")
    _check_split(recipe)
    return recipe


def _check_split(recipe: Recipe) -> None:
    for key in recipe.split:
        nearest(str(key), SPLIT_KEYS, "key", "[split]")


def _check_labels(recipe: Recipe) -> None:
    taken = {*(band.name for band in recipe.bands), *RESERVED} - {LABEL}
    for name, label in recipe.labels.items():
        where = f"[label.{name}]" if isinstance(recipe.label, Mapping) else "[label]"
        if (label.polygons is None) == (label.points is None):
            raise RecipeError(f"{where} needs either polygons or points")
        if label.complete is not None and label.polygons is None:
            raise RecipeError(
                f"{where} has complete, but points say themselves where there is none; leave complete out"
            )
        if name in taken or not name:
            raise RecipeError(f"{where} makes a band {name!r}, and that name is taken; give the label another name")


def _check_sources(recipe: Recipe) -> None:
    names = [source.name for source in recipe.sources]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"[[source]] {name!r} is there twice; give each a name of its own")
    for reference in recipe.references():
        if reference.startswith(SOURCE):
            nearest(source_name(reference), names, "source", f"the reference {reference!r}")
