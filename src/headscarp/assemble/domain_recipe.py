"""The recipe of a stack of domains: a complete TOML file, read into frozen values and checked.

One of [simulate], [antecedents], [pairs] and [scenarios]. Refuses unknown keys and regions, and sizes that a simulated
place cannot have.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headscarp.assemble.keys import as_table, make, nearest, plain, read_toml
from headscarp.assemble.samples import PARTS
from headscarp.core.errors import RecipeError
from headscarp.core.scenarios import TASKS
from headscarp.sources.datasets import dataset_file
from headscarp.sources.world.domains import REGIONS, Look

_SAMPLES = (1, 100_000)


@dataclass(frozen=True)
class SimulateRecipe:
    """The [simulate] of a recipe of domains. See docs/domains.md for each key."""

    samples_per_region: int
    regions: tuple[str, ...] = tuple(REGIONS)
    frames: int = 12
    side_px: int = 64
    years: tuple[int, ...] = (2015, 2022)
    roots: float = 1.0
    samples: Mapping[str, int] = field(default_factory=dict)

    def count(self, region: str) -> int:
        """How many samples a region has."""
        return self.samples.get(region, self.samples_per_region)


@dataclass(frozen=True)
class AntecedentFiles:
    """A [[antecedents.files]]: the events of a region and the days before them."""

    region: str
    events: str
    days: str


@dataclass(frozen=True)
class AntecedentsRecipe:
    """The [antecedents] of a recipe of domains. See docs/domains.md for each key."""

    rain: str
    soil_moisture: str
    cutoffs: int = 6
    files: tuple[AntecedentFiles, ...] = ()


@dataclass(frozen=True)
class PairFile:
    """A [[pairs.files]]: an HDF5 file of pairs, and the part of the split that they are in."""

    images: str
    part: str


@dataclass(frozen=True)
class PairsRecipe:
    """The [pairs] of a recipe of domains. See docs/domains.md for each key."""

    table: str
    bands: tuple[str, ...]
    class_column: str = "category"
    scale: float = 1.0
    no_data: float | None = None
    pixel_m: float = 10.0
    group_deg: float = 1.0
    validation_share: float = 0.2
    regions: int = 0
    tasks: Mapping[str, str] = field(default_factory=dict)
    files: tuple[PairFile, ...] = ()


@dataclass(frozen=True)
class ScenariosRecipe:
    """The [scenarios] of a recipe of domains. See docs/scenario.md for each key."""

    places_per_region: int
    regions: tuple[str, ...] = tuple(REGIONS)
    tasks: tuple[str, ...] = TASKS
    futures: int = 4
    side_px: int = 32
    years: tuple[int, ...] = (2015, 2022)
    slides: bool = False
    roots: float = 1.0
    frames: int = 0


@dataclass(frozen=True)
class DomainsRecipe:
    """Everything that decides a stack of domains. folder: what relative paths start from."""

    name: str
    seed: int = 0
    simulate: SimulateRecipe | None = None
    antecedents: AntecedentsRecipe | None = None
    pairs: PairsRecipe | None = None
    scenarios: ScenariosRecipe | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)

    @property
    def look(self) -> Look:
        """How simulated samples are made. Raises RecipeError where the recipe has none."""
        told = self.simulate or self.scenarios
        if told is None:
            raise RecipeError(f"the recipe {self.name!r} has no [simulate] and no [scenarios]")
        frames = self.simulate.frames if self.simulate else 1
        years = (told.years[0], told.years[1])
        look = Look(self.seed, frames, told.side_px, years, roots=told.roots)
        if self.scenarios is None:
            return look
        return replace(
            look, frames=self.scenarios.frames or 1, slides=self.scenarios.slides, series=self.scenarios.frames
        )

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain values; paths stay as they were given."""
        told = {name: getattr(self, name) for name in _SECTIONS}
        sections = {name: plain(section) for name, section in told.items() if section is not None}
        if self.scenarios is not None and not self.scenarios.frames:
            del sections["scenarios"]["frames"]  # single pictures are what they were before there were series
        if self.simulate is not None and not self.simulate.samples:
            del sections["simulate"]["samples"]  # so are regions of one size
        sections |= {"train": dict(self.train)} if self.train else {}
        return {"name": self.name, "seed": self.seed, **sections}

    def file(self, reference: str) -> Path:
        """The file behind a path or a "dataset:NAME/FILE". Raises SourceError."""
        if reference.startswith("dataset:"):
            return dataset_file(reference)
        return (self.folder / Path(reference).expanduser()).absolute()


def read_domains_recipe(path: str | Path) -> DomainsRecipe:
    """A recipe of domains from a TOML file. Raises RecipeError that names the section and key."""
    return domains_recipe_from_dict(read_toml(path), folder=Path(path).absolute().parent)


def domains_recipe_from_dict(data: Mapping[str, Any], *, folder: str | Path = ".") -> DomainsRecipe:
    """A recipe of domains from plain values, as TOML gives them. Raises RecipeError."""
    data = dict(data)
    for key in data:
        nearest(str(key), ("name", "seed", "train", *_SECTIONS), "key", "the recipe")
    told = [name for name in _SECTIONS if name in data]
    if len(told) != 1:
        known = ", ".join(f"[{name}]" for name in _SECTIONS)
        raise RecipeError(f"a recipe of domains needs one of {known}; give one of them")
    data[told[0]] = _SECTIONS[told[0]](data[told[0]])
    recipe: DomainsRecipe = make(DomainsRecipe, {**data, "folder": Path(folder)}, "the recipe")
    if recipe.seed < 0:
        raise RecipeError(f"seed is {recipe.seed}; it has to be 0 or more")
    return recipe


def _simulate(table: Any) -> SimulateRecipe:
    simulate: SimulateRecipe = make(SimulateRecipe, table, "[simulate]")
    _check_places(simulate, "[simulate]", {"samples_per_region": _SAMPLES, "frames": (1, 60), "side_px": (16, 512)})
    low, high = _SAMPLES
    for region, count in simulate.samples.items():
        nearest(region, simulate.regions, "region", "[simulate.samples]")
        if type(count) is not int or not low <= count <= high:
            where = f"[simulate.samples] {region}"
            raise RecipeError(f"{where} is {count!r}; it has to be a whole number from {low} to {high}")
    return simulate


def _scenarios(table: Any) -> ScenariosRecipe:
    scenarios: ScenariosRecipe = make(ScenariosRecipe, table, "[scenarios]")
    limits = {"places_per_region": (1, 100_000), "futures": (1, 64), "side_px": (16, 512), "frames": (0, 60)}
    _check_places(scenarios, "[scenarios]", limits)
    for task in scenarios.tasks:
        nearest(task, TASKS, "task", "[scenarios] tasks")
    if not scenarios.tasks or len(set(scenarios.tasks)) < len(scenarios.tasks):
        raise RecipeError(f"[scenarios] tasks is {list(scenarios.tasks)}; name at least one task, each once")
    return scenarios


def _check_places(told: Any, section: str, limits: Mapping[str, tuple[int, int]]) -> None:
    """What all simulated places have in common. Raises RecipeError."""
    for region in told.regions:
        nearest(region, REGIONS, "region", f"{section} regions")
    if not told.regions or len(set(told.regions)) < len(told.regions):
        raise RecipeError(f"{section} regions is {list(told.regions)}; name at least one region, each once")
    for key, (low, high) in limits.items():
        value = getattr(told, key)
        if not low <= value <= high:
            raise RecipeError(f"{section} {key} is {value}; it has to be from {low} to {high}")
    if not 0 <= told.roots <= 1:
        raise RecipeError(f"{section} roots is {told.roots}; give how far plants hold the soil, from 0 to 1")
    years = told.years
    if len(years) != 2 or not 1900 <= years[0] <= years[1] <= 2100:
        raise RecipeError(f"{section} years is {list(years)}; give the first and the last year, such as [2015, 2022]")


def _antecedents(table: Any) -> AntecedentsRecipe:
    table = dict(as_table(table, "[antecedents]"))
    files = as_table(table.pop("files", None), "[[antecedents.files]]", list)
    made = tuple(make(AntecedentFiles, one, f"[[antecedents.files]] {i + 1}") for i, one in enumerate(files))
    antecedents: AntecedentsRecipe = make(AntecedentsRecipe, {**table, "files": made}, "[antecedents]")
    if not made:
        raise RecipeError("[antecedents] names no files; add [[antecedents.files]] with region, events and days")
    if not 1 <= antecedents.cutoffs <= 60:
        raise RecipeError(f"[antecedents] cutoffs is {antecedents.cutoffs}; it has to be from 1 to 60")
    return antecedents


def _pairs(table: Any) -> PairsRecipe:
    table = dict(as_table(table, "[pairs]"))
    files = as_table(table.pop("files", None), "[[pairs.files]]", list)
    made = tuple(make(PairFile, one, f"[[pairs.files]] {i + 1}") for i, one in enumerate(files))
    pairs: PairsRecipe = make(PairsRecipe, {**table, "files": made}, "[pairs]")
    for i, one in enumerate(made):
        nearest(one.part, PARTS, "part", f"[[pairs.files]] {i + 1} part")
    if not made:
        raise RecipeError("[pairs] names no files; add [[pairs.files]] with images and part")
    if not pairs.bands or len(set(pairs.bands)) < len(pairs.bands):
        raise RecipeError(f"[pairs] bands is {list(pairs.bands)}; name each band of a frame, each once")
    for key in ("pixel_m", "group_deg", "scale"):
        if not 0 < getattr(pairs, key) < float("inf"):
            raise RecipeError(f"[pairs] {key} is {getattr(pairs, key)}; it has to be above 0")
    if not 0 < pairs.validation_share < 1:
        raise RecipeError(f"[pairs] validation_share is {pairs.validation_share}; it has to be between 0 and 1")
    if pairs.regions not in (0, *range(2, 101)):
        raise RecipeError(f"[pairs] regions is {pairs.regions}; it has to be from 2 to 100, or 0 for none")
    for name, task in pairs.tasks.items():
        nearest(task, TASKS, "task", f"[pairs] tasks {name}")
    return pairs


_SECTIONS: dict[str, Callable[[Any], Any]] = {
    "simulate": _simulate,
    "antecedents": _antecedents,
    "pairs": _pairs,
    "scenarios": _scenarios,
}
