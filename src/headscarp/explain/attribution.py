"""What each band adds to the log-odds of one tile: integrated gradients over the features that the net reads.

The way starts at "nothing known": training means, "no value" of categories, no direction, nothing uphill. Knows tensors
and bands; refuses nets without a probability for each pixel. What bands are worth to a map's skill is in `permutation`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import IntegratedGradients

from headscarp.core.band import feature_names
from headscarp.nets.batch import Batch
from headscarp.nets.features import FeatureNet
from headscarp.nets.net import PixelNet

COMPLETE = 0.01
"""The sum of attributions may differ from the change of the log-odds by this share before more steps are taken."""
SMALL = 0.01
"""... and by so many log-odds anyhow: 1 % of nothing would be asked for without end."""

_MOST_DOUBLINGS = 3
_BYTES = 2**24  # of features at once: activations of a U-Net take some thirty times as much


@dataclass(frozen=True)
class Attribution:
    """What the bands of one tile add to the mean log-odds of its counted pixels.

    planes: (bands, H, W) float32, context included; what the pixel's value of a band adds, times the counted pixels, so
    that a plane of a net without context holds log-odds of each pixel. total: (bands,) sums in mean log-odds. change:
    mean log-odds minus those where nothing is known, which total sums up to. error: total.sum() - change. counted: how
    many pixels, or squares of the net's stride.
    """

    planes: np.ndarray
    total: np.ndarray
    change: float
    error: float
    counted: int

    @property
    def strength(self) -> np.ndarray:
        """(bands,) mean absolute contribution, in log-odds for each counted pixel: what adds up by its size."""
        return np.abs(self.planes).sum(axis=(1, 2), dtype=np.float64) / self.counted


def attribute(net: PixelNet, batch: Batch, counted: np.ndarray, *, steps: int = 16) -> Attribution:
    """Integrated gradients of a net on one tile, by band. Method: Sundararajan, Taly and Yan (2017).

    batch: one tile, context included. counted: (H, W) bool, whose log-odds are averaged, or those of the squares that
    they are in; at least one. steps: of the
    Gauss-Legendre rule, doubled up to three times until the sum is complete to 1 % or 0.01. A band's classes, its two
    directions and what is read of it uphill are summed.
    """
    owners = feature_owners(net)
    where = torch.nn.functional.max_pool2d(torch.from_numpy(counted)[None].float(), net.stride)[0] > 0
    number = int(where.sum())
    if not len(owners):
        nothing = np.zeros((len(net.bands), *counted.shape), np.float32)
        return Attribution(nothing, nothing.sum(axis=(1, 2), dtype=np.float64), 0.0, 0.0, number)

    def mean_log_odds(features: torch.Tensor) -> torch.Tensor:
        return logits_of(net, features)[:, 0, where].double().mean(dim=1)

    features, baseline = known_and_unknown(net, batch)
    features.requires_grad_()
    at_once = max(1, _BYTES // (4 * features.numel()))
    with torch.no_grad():
        change = float(mean_log_odds(features) - mean_log_odds(baseline))
    for doubling in range(_MOST_DOUBLINGS + 1):
        found = IntegratedGradients(mean_log_odds).attribute(
            features, baseline, n_steps=steps * 2**doubling, internal_batch_size=at_once
        )
        by_feature = found[0].detach().double().numpy()  # (F, H, W)
        error = float(by_feature.sum()) - change
        if abs(error) <= max(COMPLETE * abs(change), SMALL):
            break
    planes = np.zeros((len(net.bands), *counted.shape))
    np.add.at(planes, owners, by_feature)
    return Attribution((planes * number).astype(np.float32), planes.sum(axis=(1, 2)), change, error, number)


def feature_owners(net: PixelNet) -> np.ndarray:
    """The position in net.bands of the band behind each feature that the net reads, (F,); empty where it reads none."""
    position = {band.name: i for i, band in enumerate(net.bands)}
    if not isinstance(net, FeatureNet):
        return np.array([position[name] for name in net.front_features], np.int64)
    owners: list[int] = []
    for i, band in enumerate(net.bands):
        owners += [i] * len(feature_names([band]))
    if net.alignment is not None:
        owners += [owners[chosen] for _ in net.alignment.radii for chosen in net.alignment.chosen]
    return np.array(owners, np.int64)


def known_and_unknown(net: PixelNet, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of a tile, (1, F, H, W), and the same where nothing is known."""
    if not isinstance(net, FeatureNet):
        with torch.no_grad():
            features = net.front(batch)
        return features, torch.zeros_like(features)
    with torch.no_grad():
        features = net.dense_features(batch).clone()
    baseline = torch.zeros_like(features)
    for i, name in enumerate(net.encode.names):
        if name.endswith("=no value"):
            baseline[:, i] = 1.0
    return features, baseline


def logits_of(net: PixelNet, features: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) log-odds from features as `known_and_unknown` gives them."""
    front = net.first(features) if isinstance(net, FeatureNet) else features
    logits: torch.Tensor = net.trunk(front)
    return logits
