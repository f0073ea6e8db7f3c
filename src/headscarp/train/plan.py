"""Which split and settings a run takes: what the user says, else what the recipe of the stack says, else defaults."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from headscarp.core.band import feature_names
from headscarp.core.errors import RecipeError
from headscarp.core.grid import ground_resolution_m
from headscarp.core.machine import cores
from headscarp.core.samples import PART, has_samples, stack_resolution_m
from headscarp.core.stack import feature_bands, stack_grid
from headscarp.nets import NETS, make_net
from headscarp.nets.net import Statistics
from headscarp.tiles.splits import SPLITS, Split, read_split
from headscarp.tiles.tiling import halo_of
from headscarp.train.config import FitConfig, check_choice
from headscarp.train.tables import TABLE_MODELS

BLOCK_SIZE_M = 2000.0
FOLDS = 5
PAPER_TILE_PX = 500
FEWEST_PATCHES = 400


def chosen_split(stack: xr.Dataset, spec: str | None = None, **options: Any) -> Split:
    """The split that `spec` names, a name in SPLITS or the path of a split.geojson; None: the recipe's.

    options: block_size_m, buffer_m, folds, fold, seed, tile_px, hold_out, later_than; None means unsaid. Unsaid ones
    come from the stack's recipe when it names the same kind, else blocks of 2 km or a tenth of the longer side, 5
    folds, no buffer; patches of 500 px, or smaller where the raster would give fewer than 400, shared out 80 / 10 / 10
    as in the paper unless folds are asked for. Samples are parted as given, else at random and whole; a region that is
    held out asks for "regions". The seed is the recipe's. Raises RecipeError for an unknown kind or option.
    """
    said = {key: value for key, value in options.items() if value is not None}
    if spec is not None and (spec.endswith(".geojson") or Path(spec).is_file()):
        return read_split(spec)
    recipe = recipe_section(stack, "split")
    usual = usual_splits(stack)[0]
    named = "regions" if spec is None and {"hold_out", "later_than"} & set(said) else spec
    kind = named or recipe.get("kind", usual)
    check_choice("split", kind, SPLITS)
    if recipe.get("kind", usual) != kind:
        recipe = {key: recipe[key] for key in ("seed",) if key in recipe}
    settings = {**_defaults(kind, stack), **{k: v for k, v in recipe.items() if k != "kind"}, **said}
    if kind == "random" and "folds" not in settings:
        settings.pop("fold", None)  # the paper's shares have no folds
    known = _OPTIONS[kind]
    for key in said:
        check_choice("option of a split", key, {key for options in _OPTIONS.values() for key in options})
    return SPLITS[kind](stack, **{key: value for key, value in settings.items() if key in known})


def usual_splits(stack: xr.Dataset) -> list[str]:
    """What nets are compared on unless somebody says otherwise: blocks and random; samples as given, else at random."""
    if not has_samples(stack):
        return ["blocks", "random"]
    return ["given"] if PART in stack.coords else ["random"]


def chosen_configs(stack: xr.Dataset, source: str | Path | None = None, **said: Any) -> dict[str, FitConfig]:
    """Training settings by net, "" for all others: from the tables [train] and [train.NET] of a TOML file, else of the
    recipe that the stack was built from; then what is said explicitly (None means unsaid). Raises RecipeError."""
    tables = train_tables(recipe_section(stack, "train") if source is None else source)
    said = {key: value for key, value in said.items() if value is not None}
    seed = recipe_seed(stack)
    for table in tables.values():
        table.pop("net", None)
    return {
        name: FitConfig.from_dict({"workers": cores(), "seed": seed, **table, **said}) for name, table in tables.items()
    }


def train_tables(source: str | Path | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The [train] table under "", and each [train.NET] on top of it under the name of the net or table model."""
    if isinstance(source, Mapping):
        table = dict(source)
    else:
        try:
            table = dict(tomllib.loads(Path(source).read_text(encoding="utf-8")).get("train", {}))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise RecipeError(f"{source} cannot be read as TOML ({error}); give a file with a [train] table") from error
    names = (*NETS, *TABLE_MODELS)
    common = {key: value for key, value in table.items() if key not in names}
    return {"": common, **{name: {**common, **table[name]} for name in names if name in table}}


def check_training(table: Mapping[str, Any]) -> None:
    """Raises RecipeError for a [train] table of a recipe with an unknown key or a senseless value; before any work."""
    check_choice("net", str(table.get("net", "sacnn")), NETS)
    for settings in train_tables(table).values():
        FitConfig.from_dict({key: value for key, value in settings.items() if key != "net"})


def recipe_section(stack: xr.Dataset, section: str) -> dict[str, Any]:
    """A section of the recipe that the stack was built from; {} where there is none."""
    found = stack.attrs.get("made", {}).get("settings", {}).get(section) or {}
    return {key: value for key, value in found.items() if value is not None}


def recipe_seed(stack: xr.Dataset) -> int:
    """The seed of the recipe that the stack was built from; 0 where there is none."""
    return int(stack.attrs.get("made", {}).get("seed") or 0)


def folds_of(stack: xr.Dataset, asked: int | None) -> int:
    """Folds of a split of which several are run: as asked, else the recipe's, else 5."""
    return asked or recipe_section(stack, "split").get("folds") or FOLDS


def context_of(net: str, stack: xr.Dataset) -> int:
    """Pixels that a net of this name sees on each side on this stack."""
    check_choice("net", net, NETS)
    resolution_m = stack_resolution_m(stack)
    bands = feature_bands(stack)
    arguments = {"aligned": [feature_names(bands)[0]]} if NETS[net].aligned_from else {}
    scaled = [band.name for band in bands if band.kind == "continuous"]
    unscaled = Statistics(dict.fromkeys(scaled, 0.0), dict.fromkeys(scaled, 1.0))
    made = make_net(net, bands, resolution_m=resolution_m, statistics=unscaled, arguments=arguments)
    return halo_of(made)


_OPTIONS = {
    "blocks": ("block_size_m", "buffer_m", "folds", "fold", "seed"),
    "random": ("tile_px", "shares", "folds", "fold", "seed"),
    "given": ("validation_share", "seed"),
    "groups": ("folds", "fold", "seed"),
    "regions": ("hold_out", "later_than", "validation_share", "fold", "seed"),
}


def _defaults(kind: str, stack: xr.Dataset) -> dict[str, Any]:
    seed = recipe_seed(stack)
    if kind == "blocks" and not has_samples(stack):
        longer_m = max(stack.sizes["y"], stack.sizes["x"]) * ground_resolution_m(stack_grid(stack))
        return {
            "block_size_m": min(BLOCK_SIZE_M, longer_m / 10),
            "buffer_m": 0.0,
            "folds": FOLDS,
            "fold": 0,
            "seed": seed,
        }
    if kind == "groups":
        return {"folds": FOLDS, "fold": 0, "seed": seed}
    if kind != "random":
        return {"seed": seed}
    pixels = stack.sizes["y"] * stack.sizes["x"] * stack.sizes.get("sample", 1)
    return {"tile_px": max(1, min(PAPER_TILE_PX, int((pixels / FEWEST_PATCHES) ** 0.5))), "seed": seed}
