"""What self-alignment costs: the search uphill and the gather on a 628 px patch, beside the U-Net's forward on it.

    python benchmarks/align.py

94 features (slope, elevation and four maps of classes, as in Hajimoradlou et al., 2019), 22 of them read uphill at 30,
100 and 300 m. One thread, CPU seconds. The bar is the plain float32 U-Net on ready features; the fast first layer
makes the forward cheaper, so the share of that is told beside it. Fails when the fast layer differs from the plain one.
"""

import sys

import numpy as np
import torch
from _bench import alternate, describe_machine, print_table, verdict
from numba import njit

from headscarp.core.band import Band, feature_names
from headscarp.nets import _kernels, make_net
from headscarp.nets.batch import Batch
from headscarp.nets.coded import read_uphill
from headscarp.nets.net import Statistics

SIDE = 628  # 500 px and 64 px of context on each side, as in the paper
PADDED = 640  # the U-Net halves four times
CLASSES = {"rock": 43, "cover": 4, "family": 4, "age": 37}
BAR = 0.03


def main() -> int:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net, batch = make_sacnn(), make_patch(PADDED)
    bands, valid = batch.x[0, :, :SIDE, :SIDE].contiguous().numpy(), batch.valid[0, :SIDE, :SIDE]
    codes, numbers, *_ = (part[:, :SIDE, :SIDE].copy() for part in net._read_tiles(batch)[0])
    features = net.dense_features(batch)

    def align_and_gather() -> None:
        up = read_uphill(bands, valid, net.alignment)
        gather((codes, numbers, *up), net.first.layout.plan)

    with torch.no_grad():
        difference = (net.front(batch) - net.first(features)).abs().max().item()
        plain = alternate(align_and_gather, lambda: net.trunk(net.first(features)))
        fast = alternate(lambda: net.front(batch), lambda: net.first(features))
        trunk = alternate(align_and_gather, lambda: net.predict(batch))
    print(describe_machine())
    rows = [
        {"what": "align + gather, 3 x 22 features, 628 px", "CPU ms": plain["a_cpu_s"] * 1e3},
        {"what": "plain float32 U-Net on ready features, 640 px", "CPU ms": plain["b_cpu_s"] * 1e3},
        {"what": "  its first layer alone", "CPU ms": fast["b_cpu_s"] * 1e3},
        {"what": "fast first layer, encoding and alignment included", "CPU ms": fast["a_cpu_s"] * 1e3},
        {"what": "whole sacnn with the fast first layer", "CPU ms": trunk["b_cpu_s"] * 1e3},
    ]
    print_table(rows, title="self-alignment")
    share = plain["cpu_ratio"]
    print(f"\n  {share:.2%} of the plain forward; {trunk['cpu_ratio']:.2%} of the forward with the fast first layer")
    return verdict(
        [
            (f"align + gather at most {BAR:.0%} of a float32 U-Net forward: {share:.2%}", share <= BAR),
            (f"fast and plain first layer within 1e-5: {difference:.1e}", difference <= 1e-5),
        ]
    )


@njit(nogil=True)
def gather(tile, plan):
    """What the first layer reads of each pixel, its own and uphill, row by row."""
    lookups, numbers = plan[1].shape[0], tile[1].shape[0] + tile[4].shape[0] * plan[2].shape[0]
    rows = np.empty((tile[0].shape[2], lookups), np.int64)
    values = np.empty((tile[0].shape[2], numbers), np.float32)
    for y in range(tile[0].shape[1]):
        _kernels.read_row(y, tile, plan, 1, rows, values, 0)


def make_sacnn():
    maps = [Band(name, "categorical", classes=tuple(f"{name}{i}" for i in range(n))) for name, n in CLASSES.items()]
    bands = (Band("slope", "continuous"), Band("elevation", "continuous"), *maps)
    names = feature_names(bands)
    aligned = ("slope", *names[4:14], *names[48:51], *names[52:55], *names[60:65])
    statistics = Statistics({"slope": 20.0, "elevation": 800.0}, {"slope": 10.0, "elevation": 100.0}, 0.013)
    return make_net("sacnn", bands, resolution_m=10, statistics=statistics, arguments={"aligned": aligned}).eval()


def make_patch(side: int) -> Batch:
    """Rough ground and maps of classes in patches of some 20 px."""
    g = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    elevation = 800 + 100 * np.sin(rows / 41) * np.cos(columns / 57) + g.normal(0, 2, (side, side))
    slope = np.degrees(np.arctan(np.hypot(*np.gradient(elevation, 10.0))))
    maps = [np.kron(g.integers(0, n + 1, (side // 20,) * 2), np.ones((20, 20))) for n in CLASSES.values()]
    x = np.stack([slope, elevation, *maps]).astype(np.float32)
    return Batch(torch.from_numpy(x)[None], torch.ones(1, side, side, dtype=torch.bool))


if __name__ == "__main__":
    sys.exit(main())
