"""The [chips] of a recipe: what it may say, which files that means, and which mask and second file go with which chip.

A chip and its mask are one sample when the folders that the patterns left open are the same, and the names are, or the
last numbers in the names. Opens no picture; of arrays it reads how many chips they hold. Refuses what pairs twice.
"""

import csv
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from headscarp.assemble.chipgroups import compiled, groups_of
from headscarp.assemble.keys import as_table, make, nearest
from headscarp.core.band import UNLABELLED
from headscarp.core.errors import RecipeError, SourceError
from headscarp.sources.chips import ARRAYS, RASTERS, ChipPlace, chips_in, read_names
from headscarp.sources.datasets import dataset_patterns
from headscarp.sources.inventory.samples import number_of

STATES = {"not": 0, "landslide": 1, "unlabelled": UNLABELLED}
"""What the numbers of a mask may mean, and how a label band says it."""
LEFT_OUT = "-"
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class ChipFiles:
    """Second files of each chip, such as slope or elevation, at any number of pixels for the same ground."""

    files: str
    bands: tuple[str, ...]
    units: tuple[str, ...] = ()
    scale: float = 1.0


@dataclass(frozen=True)
class ChipsRecipe:
    """A folder of chips as a stack. See docs/recipes.md for each key."""

    images: str
    bands: tuple[str, ...]
    masks: str | None = None
    names: str | None = None
    units: tuple[str, ...] = ()
    scale: float = 1.0
    pixel_m: float = 10.0
    parts: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    group_step: int = 1
    classes: Mapping[str, str] = field(default_factory=lambda: {"0": "not", "1": "landslide", "255": "unlabelled"})
    also: tuple[ChipFiles, ...] = ()

    @property
    def groups(self) -> tuple[ChipFiles, ...]:
        """The images, then the second files."""
        return (ChipFiles(self.images, self.bands, self.units, self.scale), *self.also)


@dataclass(frozen=True)
class Sample:
    """One chip: its name, its pixels, its mask where it has one, its second files in the recipe's order, its part, and
    its group, "" where the recipe names none."""

    id: str
    image: ChipPlace
    mask: ChipPlace | None
    also: tuple[ChipPlace, ...]
    part: str
    group: str = ""


def chips_from_table(table: Any) -> ChipsRecipe:
    """The table [chips] of a recipe, checked. Raises RecipeError."""
    table = dict(as_table(table, "[chips]"))
    also = as_table(table.pop("also", []), "[[chips.also]]", list)
    chips: ChipsRecipe = make(ChipsRecipe, table, "[chips]")
    chips = replace(chips, also=tuple(make(ChipFiles, one, f"[[chips.also]] {i + 1}") for i, one in enumerate(also)))
    names = [name for files in chips.groups for name in files.bands if name != LEFT_OUT]
    for name in names:
        if names.count(name) > 1 or name in ("landslide", "valid", "x", "y", "time", "sample", ""):
            raise RecipeError(f"[chips] names the band {name!r} twice, or it is the stack's own; give it another name")
    for files in chips.groups:
        if not set(files.bands) - {LEFT_OUT}:
            raise RecipeError("[chips] names no band; give each plane a name, such as bands = ['red', 'green', 'blue']")
        if files.units and len(files.units) != len(files.bands):
            raise RecipeError(f"[chips] has {len(files.units)} units for {len(files.bands)} bands; give one for each")
        if not 0 < abs(files.scale) < float("inf"):
            raise RecipeError(f"[chips] scale is {files.scale}; it has to be a number other than 0")
    if not 0 < chips.pixel_m < float("inf"):
        raise RecipeError(f"[chips] pixel_m is {chips.pixel_m}; it has to be a positive length in metres")
    if chips.group is not None:
        compiled(chips.group)
    if chips.group_step < 1:
        raise RecipeError(f"[chips] group_step is {chips.group_step}; it has to be 1 or more")
    for part in chips.parts:
        nearest(part, PARTS, "part", "[chips] parts")
    for number, state in chips.classes.items():
        nearest(state, STATES, "class", f"[chips] classes {number}")
        if not number.lstrip("-").isdigit():
            raise RecipeError(f"[chips] classes has the key {number!r}; it has to be a number that masks hold")
    if "landslide" not in chips.classes.values():
        raise RecipeError("[chips] classes has no number for 'landslide'; add one")
    return chips


def find_samples(chips: ChipsRecipe, folder: Path) -> tuple[Sample, ...]:
    """The samples that a recipe names, by part, folder and number. folder: what its relative paths start from.

    Raises SourceError for no files, files of no known kind, names that pair twice, and masks without an image.
    """
    images = _found(chips.images, folder, len(chips.bands), chips.names)
    masks = _found(chips.masks, folder, 1, chips.names) if chips.masks else []
    also = [_found(one.files, folder, len(one.bands), chips.names) for one in chips.also]
    mask_of = _paired(images, masks, "mask")
    seconds = [_paired(images, found, "second file") for found in also]
    for i, image in enumerate(images):
        if any(second[i] is None for second in seconds):
            raise SourceError(f"{image.place} has no second file; needed is one of the same folder and name or number")
    parts = [_part_of(image, chips.parts, folder) for image in images]
    names = _names(images)
    groups = [""] * len(images)
    if chips.group is not None:
        groups = groups_of(["/".join((*one.folders, one.name)) for one in images], chips.group, chips.group_step)
    samples = []
    for i, image in enumerate(images):
        places = tuple(second[i] for second in seconds)
        given = tuple(place for place in places if place is not None)
        samples.append(Sample(names[i], image.place, mask_of[i], given, parts[i], groups[i]))
    return tuple(samples)


@dataclass(frozen=True)
class _Found:
    """A chip of some file. folders: those that the pattern left open. name: of the file, or of the chip in it."""

    place: ChipPlace
    folders: tuple[str, ...]
    name: str
    inside: int = -1

    @property
    def number(self) -> int:
        return self.inside if self.inside >= 0 else number_of(Path(self.name))


def _found(reference: str, folder: Path, planes: int, names: str | None) -> list[_Found]:
    """The chips behind a pattern, in order of folders and numbers."""
    pattern, _, key = reference.partition("#")
    found: list[_Found] = []
    for path, folders in _files(pattern, folder):
        if path.suffix.lower() not in (*RASTERS, *ARRAYS):
            raise SourceError(f"{path} is no chip; chips are {', '.join((*RASTERS, *ARRAYS))} files")
        many = chips_in(path, key, planes)
        if many is None:
            found.append(_Found(ChipPlace(str(path), key), folders, path.stem))
            continue
        told = read_names(path, names) if names else [str(i) for i in range(many)]
        if len(told) != many:
            raise SourceError(f"{path} has {many} chips and {len(told)} names; check [chips] names")
        inside = (*folders, path.stem) if _open(PurePosixPath(pattern).name) else folders
        found += [_Found(ChipPlace(str(path), key, i), inside, name, i) for i, name in enumerate(told)]
    if not found:
        raise SourceError(f"no file is named {pattern}; check the folder and the pattern under [chips]")
    return sorted(found, key=lambda one: (one.folders, one.number, one.name))


def _files(pattern: str, folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """Each file of a pattern with the folders that its wildcards stand for."""
    if pattern.startswith("dataset:"):
        roots = dataset_patterns(pattern)
    else:
        whole = PurePosixPath((folder / Path(pattern).expanduser()).absolute().as_posix())
        fixed = next((i for i, part in enumerate(whole.parts) if _open(part)), len(whole.parts) - 1)
        roots = [(Path(*whole.parts[:fixed]), PurePosixPath(*whole.parts[fixed:]).as_posix(), ())]
    literal = {part for part in PurePosixPath(pattern).parts if not _open(part)}
    files = []
    for root, rest, before in roots:
        for path in sorted(root.glob(rest)) if rest else [root]:
            if path.is_file():
                between = path.relative_to(root).parent.parts if rest else ()
                files.append((path, (*before, *(part for part in between if part not in literal))))
    return files


def _open(part: str) -> bool:
    return any(mark in part for mark in "*?[")


def _paired(images: Sequence[_Found], others: Sequence[_Found], what: str) -> list[ChipPlace | None]:
    """The other file of each image: of the same folders and name, else of the same folders and number."""
    by_name = _unique(others, lambda one: (one.folders, one.name))
    by_number = _unique([o for o in others if o.number >= 0], lambda one: (one.folders, one.number), strict=False)
    alone = _unique([i for i in images if i.number >= 0], lambda one: (one.folders, one.number), strict=False)
    pairs: list[ChipPlace | None] = []
    for image in images:
        number = (image.folders, image.number)
        other = by_name.get((image.folders, image.name))
        other = other or (by_number.get(number) if number in alone else None)
        pairs.append(other.place if other else None)
    taken = set(filter(None, pairs))
    lost = [one for one in others if one.place not in taken]
    if lost and len(lost) == len(others):
        raise SourceError(
            f"no {what} goes with an image: {images[0].place} and {others[0].place} have neither folder and name nor "
            "folder and number in common; see the rule of pairs in the recipe's manual"
        )
    if lost:
        raise SourceError(f"{len(lost)} {what}s have no image, such as {lost[0].place}; remove them, or add the images")
    return pairs


def _unique(found: Sequence[_Found], key: Any, *, strict: bool = True) -> dict[Any, _Found]:
    """By key; what is there twice is refused where strict, else left out."""
    by: dict[Any, _Found] = {}
    twice = set()
    for one in found:
        if key(one) in by:
            twice.add(key(one))
            if strict:
                raise SourceError(f"{by[key(one)].place} and {one.place} have one name; rename one of them")
        by[key(one)] = one
    return {k: v for k, v in by.items() if k not in twice}


def _part_of(image: _Found, parts: Mapping[str, str], folder: Path) -> str:
    """The part that a recipe puts a chip in: by a folder or file stem, or by a list of names; "" for none."""
    path = Path(image.place.path)
    for part, where in parts.items():
        if where.endswith((".txt", ".csv")):
            if {image.name, path.name, path.stem} & _listed(str((folder / Path(where).expanduser()).absolute())):
                return part
        elif any(fnmatch.fnmatchcase(word, where) for word in (*image.folders, image.name, path.stem)):
            return part
    return ""


@lru_cache(maxsize=8)
def _listed(path: str) -> frozenset[str]:
    """The names in the first column of a list."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return frozenset(row[0].strip() for row in csv.reader(file) if row)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the list of a part {path} cannot be read ({error}); check [chips] parts") from error


def _names(images: Sequence[_Found]) -> list[str]:
    """Short names that tell the samples apart: image_409, or train/image_409 where several folders have one."""
    short = [image.name for image in images]
    if len(set(short)) == len(short):
        return short
    names = ["/".join((*image.folders, image.name)) for image in images]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise SourceError(f"two chips are named {twice}; rename one of them")
    return names
