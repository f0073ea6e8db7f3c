"""The verb latent: what the latents of a trained vae tell of places, beside what the means of their bands tell.

Latents are of held-out frames, and probes are judged on places that they were not fitted on. Refuses nets without
latents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.domains import CAUSES, SENSORS
from headscarp.core.errors import BundleError, StackError
from headscarp.nets import net_from_bundle
from headscarp.nets.metadata import NAMES
from headscarp.nets.vae import VAE
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_fits
from headscarp.tiles.partition import PARTS
from headscarp.tiles.reader import TileReader
from headscarp.tiles.regions import REGION, place_numbers
from headscarp.tiles.sampling import batches
from headscarp.tiles.splits import split_from_json
from headscarp.tiles.tiling import train_tiles
from headscarp.train.linear import logistic_regression

Floats = NDArray[np.float64]
SEASONS = ("Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov")
_FOLDS = 4
_SHOWN = 6
_STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)


@dataclass(frozen=True)
class Probe:
    """How well a linear probe reads something of held-out places: balanced accuracy in [0, 1], chance 1 / classes.

    latents, means: from the latents, and from the mean of each band. classes: how many. n: frames.
    """

    what: str
    latents: float
    means: float
    classes: int
    n: int


@dataclass(frozen=True)
class Latents:
    """What was found. elbo: (F,) nats per pixel of held-out frames, by part. latents: (F, Z) of all frames, sample:
    (F,) whose they are, told: (F,) texts by what they tell, "" unknown. picture: (F, 2) principal components. shown:
    images and what was rebuilt of them, (k, C, p, p) each. traversals: (Z', steps, C, p, p). bands: of the images."""

    elbo: Mapping[str, Floats]
    latents: Floats
    told: Mapping[str, NDArray[np.str_]]
    probes: tuple[Probe, ...]
    picture: Floats
    shown: tuple[Floats, Floats]
    traversals: Floats
    bands: tuple[str, ...]

    @property
    def text(self) -> str:
        """What a person wants to read first."""
        held = self.elbo.get("test", next(iter(self.elbo.values())))
        told = "; ".join(f"{p.what} {p.latents:.2f} (means of bands {p.means:.2f})" for p in self.probes)
        return f"Held-out ELBO {held.mean():.3f} nats per pixel. Linear probes, balanced accuracy: {told or 'none'}."


def read_latents(bundle: Bundle | str | Path, stack: xr.Dataset | str | Path, *, seed: int = 0) -> Latents:
    """What the latents of a bundle's vae hold of the frames of a stack of samples.

    Frames of the parts of the bundle's split are encoded; reconstructions and the ELBO are of validation and test.
    Raises BundleError for another net, StackError for a stack of one place.
    """
    bundle = as_bundle(bundle)
    stack = as_stack(stack)
    net = net_from_bundle(bundle)
    if not isinstance(net, VAE):
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which has no latents; train one with --net vae")
    if "sample" not in stack.dims:
        raise StackError("the stack holds one place; latents are told apart on samples: build domains, or chips")
    fit = check_fits(bundle, stack)
    split = split_from_json(bundle.split)
    reader = TileReader(stack, fit.bands, split=split)
    side = -(-max(reader.shape) // net.align) * net.align
    held: dict[str, list[Any]] = {name: [] for name in ("z", "mean", "sample", "sensor", "elbo", "part")}
    images: list[torch.Tensor] = []
    with torch.inference_mode():
        for part in PARTS:
            if not split.part(part):
                continue
            tiles = train_tiles(split, part, size=side, halo=0)
            for batch in batches(reader, tiles, batch_size=16):
                found, owner = net.images(batch)
                each = max(1, (side // net.place_px) ** 2)
                held["z"].append(net.encoded(found)[0].numpy())
                held["mean"].append(_band_means(found))
                held["sample"].append(np.array([tile.sample for tile in batch.tiles])[owner.numpy() // each])
                held["sensor"].append(_sensor(found, net))
                held["elbo"].append(net.elbo(found).numpy())
                held["part"].append(np.full(len(found), part))
                if part != PARTS[0] and len(images) < _SHOWN:
                    images.append(found[: 1 + _SHOWN // 3])
        shown = torch.cat(images)[:_SHOWN] if images else torch.zeros(0, len(net.read), net.place_px, net.place_px)
        rebuilt = net.decoded(net.encoded(shown)[0]) if len(shown) else shown
        z = np.concatenate(held["z"]).astype(np.float64)
        traversals = _traversals(net, z)
    part_of, sample = (np.concatenate(held[name]) for name in ("part", "sample"))
    told = {"sensor": np.concatenate(held["sensor"]), **_told(stack, reader, sample)}
    places = place_numbers(stack)[sample]
    means = np.concatenate(held["mean"]).astype(np.float64)
    elbo = np.concatenate(held["elbo"]).astype(np.float64)
    probes = [_probe(what, labels, z, means, places, seed=seed) for what, labels in told.items()]
    return Latents(
        {name: elbo[part_of == name] for name in PARTS if (part_of == name).any()},
        z,
        told,
        tuple(probe for probe in probes if probe is not None),
        _components(z),
        (shown.double().numpy(), rebuilt.double().numpy()),
        traversals,
        tuple(net.bands[i].name for i in net.read),
    )


def _band_means(images: torch.Tensor) -> NDArray[np.float32]:
    """(F, 2 C): the mean of each band, 0 where it is missing, and whether it is there."""
    there = torch.isfinite(images)
    counts = there.sum(dim=(-2, -1))
    sums = torch.where(there, images, torch.zeros_like(images)).sum(dim=(-2, -1))
    return np.asarray(torch.cat([sums / counts.clamp(min=1), (counts > 0).float()], dim=1).numpy())


def _sensor(images: torch.Tensor, net: VAE) -> NDArray[np.str_]:
    radar = [k for k, i in enumerate(net.read) if net.bands[i].name in ("vv", "vh")]
    if not radar:
        return np.full(len(images), "", dtype="<U9")
    seen = torch.isfinite(images[:, radar]).flatten(1).any(1).numpy()
    return np.where(seen, SENSORS[1], SENSORS[0])


def _told(stack: xr.Dataset, reader: TileReader, sample: NDArray[np.int64]) -> dict[str, NDArray[np.str_]]:
    """What is known of each frame's sample: region, season, weather, class."""
    told: dict[str, NDArray[np.str_]] = {}
    if REGION in stack.variables:
        told["region"] = np.array([str(name) for name in stack[REGION].to_numpy()])[sample]
    if reader.series is not None:
        still = reader.series.metadata[:, 0]
        sine, cosine = (still[:, NAMES.index(f"cut-off:{name}")] for name in ("sin", "cos"))
        turn = np.mod(np.arctan2(sine, cosine) / (2 * np.pi) + 1 / 12, 1.0)
        known = np.isfinite(turn)
        seasons = np.where(known, np.array(SEASONS)[(np.nan_to_num(turn) * 4).astype(int) % 4], "")
        told["season"] = seasons[sample]
        rain = still[:, NAMES.index("rain_30d before the cut-off")]
        edges = np.nanquantile(rain, [1 / 3, 2 / 3]) if np.isfinite(rain).any() else [0.0, 1.0]
        wet = np.array(["dry", "usual", "wet"])[np.digitize(np.nan_to_num(rain), edges)]
        told["weather"] = np.where(np.isfinite(rain), wet, "")[sample]
    if "causes" in stack.variables:
        told["class"] = _classes(stack)[sample]
    return told


def _classes(stack: xr.Dataset) -> NDArray[np.str_]:
    """The only cause that holds, "thriving", or "" where several hold or none is known."""
    causes = stack["causes"].to_numpy() == 1
    thriving = stack["thriving"].to_numpy() == 1 if "thriving" in stack.variables else np.zeros(len(causes), bool)
    only = np.where(causes.sum(axis=1) == 1, np.array(CAUSES)[causes.argmax(axis=1)], "")
    return np.where(thriving & ~causes.any(axis=1), "thriving", only)


def _probe(
    what: str, labels: NDArray[np.str_], z: Floats, means: Floats, places: NDArray[np.int64], *, seed: int
) -> Probe | None:
    """Cross-validated over places; None where fewer than two classes are in enough of them."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold

    names, counts = np.unique(labels[labels != ""], return_counts=True)
    kept = np.isin(labels, [n for n, c in zip(names, counts, strict=True) if c >= 2 * _FOLDS])
    y, groups = labels[kept], places[kept]
    if len(np.unique(y)) < 2 or len(np.unique(groups)) < _FOLDS:
        return None
    found = []
    for x in (z[kept], means[kept]):
        said = np.empty_like(y)
        for train, test in GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(x, y, groups):
            one = len(np.unique(y[train])) == 1
            said[test] = y[train][0] if one else logistic_regression(C=1.0).fit(x[train], y[train]).predict(x[test])
        found.append(float(balanced_accuracy_score(y, said)))
    return Probe(what, found[0], found[1], len(np.unique(y)), len(y))


def _components(z: Floats) -> Floats:
    """(F, 2) first two principal components."""
    apart = z - z.mean(axis=0)
    _, _, axes = np.linalg.svd(apart[:: max(1, len(z) // 5000)], full_matrices=False)
    return np.asarray(apart @ axes[:2].T)


def _traversals(net: VAE, z: Floats) -> Floats:
    """(4, steps, C, p, p): from the mean, along each of the latents that vary most, in their standard deviations."""
    spread, centre = z.std(axis=0), z.mean(axis=0)
    made = []
    for k in np.argsort(-spread)[:4]:
        row = np.repeat(centre[None], len(_STEPS), axis=0)
        row[:, k] += np.array(_STEPS) * spread[k]
        made.append(net.decoded(torch.from_numpy(row).float()).double().numpy())
    return np.stack(made)
