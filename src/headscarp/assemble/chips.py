"""The build of a stack of chips: each chip a sample and a block of work, resumable, judged as a whole at the end.

Refuses chips of different sizes or depths of number, masks of another size than their image, and mask values that are
no class. Black chips are kept but not valid; chips that stand in two parts are listed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.assemble.chipverdict import judge_chips
from headscarp.assemble.edges import edge_facts
from headscarp.assemble.lookalikes import perceptual_hash
from headscarp.assemble.recipe import Recipe
from headscarp.assemble.samples import LEFT_OUT, STATES, ChipFiles, ChipsRecipe, Sample, find_samples
from headscarp.assemble.store import BandWriter
from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.band import UNLABELLED, Band
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import RecipeError, SourceError
from headscarp.core.provenance import file_sha256, made_by
from headscarp.core.samples import GROUP, PART, PIXEL_M, create_samples
from headscarp.core.stack import LABEL, VALID, complete_stack, open_stack
from headscarp.sources.chips import chips_without_place, fitted, read_chip, read_mask
from headscarp.sources.datasets import DATASETS


def build_chips(recipe: Recipe, out: Path, workers: Any, *, resume: bool = False) -> xr.Dataset:
    """Builds the stack of a recipe with [chips] as a Zarr folder and returns it opened.

    out: does not exist, or with `resume` is the finished stack of the same recipe and files. workers: as `run_blocks`
    has it. The attribute `report` says what was seen: parts, labels, black chips, twins in two parts. Raises
    RecipeError, SourceError, StackError, OutputError, JournalError.
    """
    chips = recipe.chips
    if chips is None:
        raise RecipeError(f"the recipe {recipe.name!r} has no [chips]; add it, or build it as a place")
    samples = find_samples(chips, recipe.folder)
    made = made_by("build", settings=recipe.resolved(), inputs=_inputs(chips, samples), seed=recipe.seed)
    job = {key: made[key] for key in ("settings", "inputs", "version")}
    if resume and out.exists():
        stack = open_stack(out)
        if json.loads(json.dumps(job, default=str)) != {key: stack.attrs.get("made", {}).get(key) for key in job}:
            check_output(out)  # it is another stack, which must not be lost
        return stack
    bands = _bands(chips)
    with chips_without_place():
        shape = read_chip(samples[0].image, len(chips.bands)).shape[1:]
    partial, journal_path = partial_path(out), out.with_name(f".{out.name}.journal")
    resume = resume and journal_path.exists() and (partial / "zarr.json").exists()
    journal = Journal(journal_path, job, resume=resume)
    if not journal.done:
        attrs = {"recipe": recipe.name, PIXEL_M: chips.pixel_m}
        coords = {PART: [sample.part for sample in samples]}
        coords |= {GROUP: [sample.group for sample in samples]} if chips.group is not None else {}
        create_samples(partial, shape, bands, names=[s.id for s in samples], coords=coords, attrs=attrs)
    work = _ChipWork(BandWriter(str(partial)), chips, (shape[0], shape[1]), tuple(band.name for band in bands))
    blocks = [_ChipBlock(i, sample) for i, sample in enumerate(samples)]
    by_id = {block.id: block for block in blocks}
    journal.keep(lambda block_id, done: block_id in by_id and work.still_good(by_id[block_id], done))
    with chips_without_place():
        done = run_blocks(work, blocks, journal=journal, workers=workers, label="chips")
    report = judge_chips(samples, [item.facts for item in done.values()])
    digest = hashlib.blake2b(digest_size=16)
    for name, item in zip(by_id, done.values(), strict=True):
        digest.update(f"{name} {item.checksum}".encode())
    complete_stack(partial, {"fingerprint": digest.hexdigest(), "made": made, "report": report})
    finish(partial, out)
    with clear_os_errors(out):
        journal_path.unlink(missing_ok=True)
    return open_stack(out)


@dataclass(frozen=True)
class _ChipBlock:
    number: int
    sample: Sample

    @property
    def id(self) -> str:
        return self.sample.id


@dataclass(frozen=True)
class _ChipWork:
    """Reads and writes one chip, wherever it is called."""

    writer: BandWriter
    chips: ChipsRecipe
    shape: tuple[int, int]
    names: tuple[str, ...]

    def __call__(self, block: _ChipBlock) -> Done:
        sample, chips = block.sample, self.chips
        raw: NDArray[Any] = read_chip(sample.image, len(chips.bands))
        if raw.shape[1:] != self.shape:
            raise SourceError(f"{sample.image} is {_size(raw)}; the first chip is {_size(self.shape)}: cut all to one")
        places = (sample.image, *sample.also)
        pixels: dict[str, NDArray[Any]] = {}
        for files, place in zip(chips.groups, places, strict=True):
            planes = raw if place == sample.image else read_chip(place, len(files.bands))
            pixels |= _named(fitted(planes, self.shape), files)
        infinite = {name: int(np.isinf(plane).sum()) for name, plane in pixels.items()}
        pixels = {name: np.where(np.isinf(plane), np.nan, plane) for name, plane in pixels.items()}
        # As numbers of the file: a whole chip of zeros is what a failed cut or an empty corner of a mosaic leaves.
        black = not np.nan_to_num(raw.astype(np.float32)).any()
        valid = np.isfinite(np.stack([*pixels.values()])).all(axis=0) & (not black)
        label = self._label(sample)
        written = {**pixels, **({} if label is None else {LABEL: label}), VALID: np.asarray(valid, np.uint8)}
        index = (block.number, slice(0, self.shape[0]), slice(0, self.shape[1]))
        facts = {
            "missing": {name: int(np.isnan(plane).sum()) for name, plane in pixels.items()},
            "infinite": infinite,
            "labels": None if label is None else np.bincount(label[valid].ravel(), minlength=256)[[0, 1, 255]].tolist(),
            "valid": int(valid.sum()),
            "pixels": int(valid.size),
            "black": black,
            "depth": raw.dtype.name,
            "high": float(np.nanmax(raw, initial=0)),
            "exact": "" if black else hashlib.blake2b(np.ascontiguousarray(raw).tobytes(), digest_size=16).hexdigest(),
            "near": perceptual_hash(raw.astype(np.float32)),
            "edges": {} if label is None or black else edge_facts([*pixels.values()], label),
        }
        return Done(self.writer.write(index, written), facts)

    def still_good(self, block: _ChipBlock, done: Done) -> bool:
        index = (block.number, slice(0, self.shape[0]), slice(0, self.shape[1]))
        return self.writer.holds(index, self.names, done.checksum)

    def _label(self, sample: Sample) -> NDArray[np.uint8] | None:
        """(y, x) of a chip's mask; all unlabelled where it has none, None where the recipe names no masks."""
        if self.chips.masks is None:
            return None
        if sample.mask is None:
            return np.full(self.shape, UNLABELLED, np.uint8)
        values = read_mask(sample.mask)
        if values.shape != self.shape:
            raise SourceError(
                f"the mask {sample.mask} is {_size(values)}, its image {sample.image} is {_size(self.shape)}; they "
                "have to be of one size: cut both alike"
            )
        label = np.full(self.shape, UNLABELLED, np.uint8)
        known = np.isnan(values) if values.dtype.kind == "f" else np.zeros(self.shape, bool)
        for number, state in self.chips.classes.items():
            here = values == int(number)
            label[here] = STATES[state]
            known |= here
        if not known.all():
            strange = np.unique(values[~known])
            shown = ", ".join(f"{value:g}" for value in strange[:8])
            raise SourceError(
                f"the mask {sample.mask} holds {shown} in {int((~known).sum())} pixels, which is no class; known: "
                f"{', '.join(self.chips.classes)}: say what it means under [chips] classes"
            )
        return label


def _bands(chips: ChipsRecipe) -> tuple[Band, ...]:
    bands = []
    for files in chips.groups:
        units = files.units or ("1",) * len(files.bands)
        told = files.files if files.scale == 1 else f"{files.files} x {files.scale:g}"
        bands += [
            Band(name, "continuous", unit, told) for name, unit in zip(files.bands, units, strict=True) if _kept(name)
        ]
    if chips.masks is not None:
        bands.append(Band(LABEL, "label", "1", chips.masks))
    return (*bands, Band(VALID, "mask", "1", "all bands finite, chips that are not black"))


def _named(pixels: NDArray[np.float32], files: ChipFiles) -> dict[str, NDArray[np.float32]]:
    scale = np.float32(files.scale)
    return {name: plane * scale for name, plane in zip(files.bands, pixels, strict=True) if _kept(name)}


def _kept(name: str) -> bool:
    return name != LEFT_OUT


def _size(pixels: NDArray[Any] | tuple[int, int]) -> str:
    rows, cols = pixels if isinstance(pixels, tuple) else pixels.shape[-2:]
    return f"{rows} x {cols} pixels"


def _inputs(chips: ChipsRecipe, samples: tuple[Sample, ...]) -> list[dict[str, Any]]:
    """Each pattern of the recipe once: how many files, and the checksum of their checksums."""
    found: dict[str, list[str]] = {chips.images: [sample.image.path for sample in samples]}
    if chips.masks:
        found[chips.masks] = [sample.mask.path for sample in samples if sample.mask]
    for i, one in enumerate(chips.also):
        found[one.files] = [sample.also[i].path for sample in samples]
    return [_described(reference, sorted(set(paths))) for reference, paths in found.items()]


def _described(reference: str, paths: list[str]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{file_sha256(path)}  {Path(path).name}\n".encode())
    known: Mapping[str, str] = {}
    if reference.startswith("dataset:"):
        dataset = DATASETS[reference.removeprefix("dataset:").partition("/")[0]]
        known = {"licence": dataset.licence, "citation": dataset.citation}
    return {"name": reference, "files": len(paths), "sha256": digest.hexdigest(), **known}
