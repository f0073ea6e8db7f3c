"""The registry of public data sets: name, files with checksums, address, licence, citation.

A file is taken from the local mirror that HEADSCARP_DATA names, else fetched and cached by pooch where a public
address holds the very same bytes. Refuses a file whose bytes are not the registered ones. Fetches nothing unasked.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from headscarp.core.errors import SourceError
from headscarp.core.provenance import file_sha256

MIRROR = "HEADSCARP_DATA"
CACHE = "HEADSCARP_CACHE"


@dataclass(frozen=True)
class DatasetFile:
    """One file: its SHA-256, and the address of these very bytes where there is one."""

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


DATASETS: dict[str, Dataset] = {
    "balakot_lsat": Dataset(
        name="balakot_lsat",
        files={
            name: DatasetFile(sha256)
            for name, sha256 in {
                "AW3D30.tif": "261bbcfa392dfb0682f2418f20dfde840bfa5e41f2b78f047f06a194297ce8e5",
                "Confirmed_faults.gpkg": "e15ad6deedf718860c9cc226c0aeddcbb29f889b6a6af87c4b37e720310aa700",
                "Geology.gpkg": "5182566a7adcc4be6e441f8f95cb71b50db991edc6ae9ad14c534a63f3ef2263",
                "Geology.tif": "94826be9f3fb70e814ec5b7aeeee717d3ed810da6310ec3c85b528b5377782f9",
                "Geology.tif.aux.xml": "c1b6c89625dc2c76eeed454a03fbd7101d35964b2da932818537797f5fa7b7cb",
                "Landcover.gpkg": "8b0edbfad0b5090277303b2f51c647503468c8fefdc8e691bdb44f28c331c6db",
                "Landcover.tif": "09a3e5262e4a32056b5e31157e040c3bc7087d9d2698d5f4deaf393d0ab943e1",
                "Landcover.tif.aux.xml": "67cdfe129a24ca2e3a1ae394d255d82a3aef537cc3a3ee7fc709deab3c4fe3e9",
                "landslides.gpkg": "fd2c78c509ea8af14003607ef600ab271c17b293a71999d96a440df53fa59e4a",
            }.items()
        },
        address="https://github.com/BGR-EGHA/LSAT-TestData/tree/4c229c2",
        licence="no licence file upstream; elevation: AW3D30 (c) JAXA, free use with attribution",
        citation="Torizin, Schuessler, Fuchs (2022) GMD 15:2791-2812; Torizin et al. (2017) Nat. Hazards 89:757-784; "
        "Calkins et al. (1975) USGS PP 716-C; JAXA (2017) AW3D30",
        note="the part west of x = 353988 (EPSG:32643) of the originals; vectors converted to GeoPackage",
    ),
    "ecuador_susceptibility": Dataset(
        name="ecuador_susceptibility",
        files={
            name: DatasetFile(sha256)
            for name, sha256 in {
                "dem_rsaga.tif": "83b76a72fc019022d62238e7a48b4c8668617594f92aa75ee090c585711f39af",
                "ecuador_751pts.csv": "d358519f6ba18e72340d9a6f86f78576e883ae338e7b67c235bf937d1cf00400",
                "landslides_rsaga_1535pts.csv": "0e5e1e6e88b2193f601029af98debaa55181c3c7e3eb2ce89510276e6e6e2d2d",
                "lsl.csv": "4042b5a0327778f7f309fc27e4384632a35f5db9bcf5546baa40f606e638a67d",
                "published_fold_auroc_geocompr_ch12.csv": (
                    "e60d6515da42172a5ad5756a64e1a8e589c32f195047357bbed1cfe8444c9ebe"
                ),
                "study_area.gpkg": "883f2019ce830702a046ed052466f1eb4352a294e66dd6b17ccc77b9552c79a0",
                "ta.tif": "cf0410ca2c1da8931bf6f7f234241c21d4851d9bdcfa19e6be26c9eca0e804be",
            }.items()
        },
        address="https://github.com/Nowosad/spDataLarge/tree/4c2d08a (ta, lsl); "
        "https://github.com/r-spatial/RSAGA/tree/468d755 (dem, 1535 points, study area); "
        "https://github.com/giscience-fsu/sperrorest/tree/b4d2a14 (751 points)",
        licence="ta and lsl: CC0; dem, 1535 points and study area: GPL-2; 751 points: GPL-3",
        citation="Muenchow, Brenning, Richter (2012) Geomorphology 139-140:271-284",
        note="converted from R data files: grids to GeoTIFF, data frames to CSV, polygons to GeoPackage",
    ),
}


def dataset_file(reference: str) -> Path:
    """The local path of a registered file, e.g. "balakot_lsat/AW3D30.tif" (with or without "dataset:" in front).

    From the folder in HEADSCARP_DATA when that holds NAME/FILE, else from the cache (HEADSCARP_CACHE, or the user's
    own), fetched first where the registry has an address. Sidecar files (.aux.xml) come along.
    Raises SourceError for an unknown name, a file that cannot be had, and bytes that are not the registered ones.
    """
    dataset, name = _find(reference)
    path = _local_or_fetched(dataset, name)
    if f"{name}.aux.xml" in dataset.files:
        _local_or_fetched(dataset, f"{name}.aux.xml")
    return path


def dataset_of(reference: str) -> Dataset:
    """The data set that a reference belongs to, for its licence and citation. Raises SourceError."""
    return _find(reference)[0]


def _find(reference: str) -> tuple[Dataset, str]:
    name, _, file = reference.removeprefix("dataset:").partition("/")
    if name not in DATASETS:
        raise SourceError(f"there is no data set {name!r}; known: {', '.join(DATASETS)}")
    if file not in DATASETS[name].files:
        raise SourceError(f"the data set {name} has no file {file!r}; it has: {', '.join(DATASETS[name].files)}")
    return DATASETS[name], file


def _local_or_fetched(dataset: Dataset, name: str) -> Path:
    entry = dataset.files[name]
    mirror = os.environ.get(MIRROR)
    if mirror and (path := Path(mirror).expanduser() / dataset.name / name).is_file():
        return _checked(path, entry.sha256)
    cache = _cache_folder() / dataset.name / name
    if cache.is_file():
        return _checked(cache, entry.sha256)
    if not entry.url:
        raise SourceError(
            f"no public address holds these very bytes of {dataset.name}/{name} ({dataset.note}); set {MIRROR} to a "
            f"folder that holds {dataset.name}/{name}. The originals: {dataset.address}"
        )
    return _fetch(entry, cache)


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
    stat = path.stat()
    if _sha256(path, stat.st_size, stat.st_mtime_ns) != sha256:
        raise SourceError(
            f"{path} does not hold the registered bytes (its SHA-256 differs): it is damaged or another version; get "
            "it again, or give its plain path in the recipe to use it as it is"
        )
    return path


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """The checksum, computed once for as long as the file stays as it is."""
    return file_sha256(path)
