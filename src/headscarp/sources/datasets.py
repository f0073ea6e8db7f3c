"""The registry of public data sets: name, files with checksums, address, licence, citation; its entries: datasets.toml.

A file is taken from the local mirror that HEADSCARP_DATA names, else fetched and cached by pooch where a public
address holds the very same bytes. Refuses a file whose bytes are not the registered ones. Fetches nothing unasked.
"""

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from headscarp.core.errors import SourceError
from headscarp.core.provenance import file_sha256

MIRROR = "HEADSCARP_DATA"
CACHE = "HEADSCARP_CACHE"


@dataclass(frozen=True)
class DatasetFile:
    """One file: its SHA-256, and the address of these very bytes where there is one. Of a folder (its name ends in /):
    the SHA-256 of the lines "SHA-256  path" of its files, sorted by path."""

    sha256: str
    url: str = ""


@dataclass(frozen=True)
class Dataset:
    """A public data set. address: the page for people, with the version the files were made from. note: what was done
    to the originals, so that nobody takes the files for something else."""

    name: str
    files: Mapping[str, DatasetFile]
    address: str
    licence: str
    citation: str
    note: str = ""


def _registry() -> dict[str, Dataset]:
    """The data sets of datasets.toml, which lies beside this file."""
    entries = tomllib.loads(Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8"))
    return {name: _dataset(name, entry) for name, entry in entries.items()}


def _dataset(name: str, entry: Mapping[str, Any]) -> Dataset:
    files = {
        file: DatasetFile(said) if isinstance(said, str) else DatasetFile(**said)
        for file, said in entry["files"].items()
    }
    return Dataset(name, **{**entry, "files": files})


DATASETS: dict[str, Dataset] = _registry()


def dataset_file(reference: str) -> Path:
    """The local path of a registered file, e.g. "balakot_lsat/AW3D30.tif" (with or without "dataset:" in front), or
    folder, e.g. "landslide4sense_rgb/train/".

    From the folder in HEADSCARP_DATA when that holds NAME/FILE, else from the cache (HEADSCARP_CACHE, or the user's
    own), fetched first where the registry has an address. Sidecar files (.aux.xml) come along.
    Raises SourceError for an unknown name, a file that cannot be had, and bytes that are not the registered ones.
    """
    dataset, name = _find(reference)
    path = _local_or_fetched(dataset, name)
    if f"{name}.aux.xml" in dataset.files:
        _local_or_fetched(dataset, f"{name}.aux.xml")
    return path


def dataset_patterns(reference: str) -> list[tuple[Path, str, tuple[str, ...]]]:
    """What a reference with wildcards means, such as "dataset:landslide4sense_rgb/*/images/*.png".

    Returns for each registered file or folder that it reaches: the local path, the rest of the pattern below it ("" for
    a file), and the names that wildcards stood for on the way to it. Raises SourceError as `dataset_file` does.
    """
    name, _, pattern = reference.removeprefix("dataset:").partition("/")
    if name not in DATASETS:
        raise SourceError(f"there is no data set {name!r}; known: {', '.join(DATASETS)}")
    wanted, found = pattern.split("/"), []
    for file in DATASETS[name].files:
        parts = file.rstrip("/").split("/")
        below = wanted[len(parts) :]
        fits = all(fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=False))
        if len(parts) > len(wanted) or not fits or bool(below) != file.endswith("/"):
            continue
        open_ones = tuple(part for part, want in zip(parts, wanted, strict=False) if part != want and below)
        found.append((dataset_file(f"{name}/{file}"), "/".join(below), open_ones))
    if not found:
        raise SourceError(f"the data set {name} has nothing named {pattern}; it has: {', '.join(DATASETS[name].files)}")
    return found


def dataset_of(reference: str) -> Dataset:
    """The data set that a reference belongs to, for its licence and citation. Raises SourceError."""
    return _find(reference)[0]


def where_is(name: str) -> dict[str, Path | None]:
    """Where each file of a data set lies on this machine: below HEADSCARP_DATA, else in the cache; None for nowhere.

    A look at names only: nothing is read, checked or fetched. Raises SourceError for an unknown name.
    """
    if name not in DATASETS:
        raise SourceError(f"there is no data set {name!r}; known: {', '.join(DATASETS)}")
    return {file: _on_this_machine(DATASETS[name], file) for file in DATASETS[name].files}


def folder_sha256(folder: Path) -> str:
    """SHA-256 of a folder: of the lines "SHA-256  path" of all its files, sorted by path."""
    digest = hashlib.sha256()
    for path in _files_of(folder):
        digest.update(f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _find(reference: str) -> tuple[Dataset, str]:
    name, _, file = reference.removeprefix("dataset:").partition("/")
    if name not in DATASETS:
        raise SourceError(f"there is no data set {name!r}; known: {', '.join(DATASETS)}")
    files = DATASETS[name].files
    known = file if file in files else f"{file}/"
    if known not in files:
        raise SourceError(f"the data set {name} has no file {file!r}; it has: {', '.join(files)}")
    return DATASETS[name], known


def _on_this_machine(dataset: Dataset, name: str) -> Path | None:
    mirror = os.environ.get(MIRROR)
    places = [*([Path(mirror).expanduser()] if mirror else []), _cache_folder()]
    paths = (place / dataset.name / name for place in places)
    return next((path for path in paths if (path.is_dir() if name.endswith("/") else path.is_file())), None)


def _local_or_fetched(dataset: Dataset, name: str) -> Path:
    entry = dataset.files[name]
    path = _on_this_machine(dataset, name)
    if path is not None:
        return _checked(path, entry.sha256)
    if not entry.url:
        raise SourceError(
            f"no public address holds these very bytes of {dataset.name}/{name} ({dataset.note}); set {MIRROR} to a "
            f"folder that holds {dataset.name}/{name}. The originals: {dataset.address}"
        )
    return _fetch(entry, _cache_folder() / dataset.name / name)


def _fetch(entry: DatasetFile, path: Path) -> Path:
    """Downloads to a file beside the final one, checks it, renames it: pooch never leaves half a file behind."""
    import pooch
    import requests

    try:
        pooch.retrieve(
            entry.url, known_hash=f"sha256:{entry.sha256}", path=path.parent, fname=path.name, progressbar=False
        )
    except ValueError as error:
        raise SourceError(
            f"{entry.url} no longer holds the registered bytes (its SHA-256 differs); nothing was kept: try again, or "
            f"set {MIRROR} to a folder that holds {path.parent.name}/{path.name}"
        ) from error
    except (requests.RequestException, OSError) as error:
        raise SourceError(
            f"{entry.url} could not be fetched ({error}); nothing was kept: try again when the network is there, or "
            f"set {MIRROR} to a folder that holds {path.parent.name}/{path.name}"
        ) from error
    return path


def _cache_folder() -> Path:
    import pooch

    return Path(os.environ.get(CACHE) or pooch.os_cache("headscarp"))


def _checked(path: Path, sha256: str) -> Path:
    if _sha256(path, _stamp(path)) != sha256:
        raise SourceError(
            f"{path} does not hold the registered bytes (its SHA-256 differs): it is damaged or another version; get "
            "it again, or give its plain path in the recipe to use it as it is"
        )
    return path


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file, or any file of a folder, does: how many, bytes, time."""
    stats = [file.stat() for file in (_files_of(path) if path.is_dir() else [path])]
    return len(stats), sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@lru_cache(maxsize=256)
def _sha256(path: Path, stamp: tuple[int, int, int]) -> str:
    """The checksum, computed once for as long as the file stays as it is."""
    return folder_sha256(path) if path.is_dir() else file_sha256(path)
