"""SSIM as a loss and as a map, beside torchmetrics: 8 x 6 x 256 x 256, forward and backward, on one thread.

Fails when the values differ by more than 1e-5, the gradients by more than 1e-4 of the largest, or ours is slower.
"""

import argparse
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from _bench import alternate, describe_machine, print_table, verdict

from headscarp.nets._torchvision import import_with_torchvision
from headscarp.nets.ssim import ssim

SHAPE = (8, 6, 256, 256)


def main() -> int:
    """Print the table and the bars; exit code 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(describe_machine())
    torch.set_num_threads(1)
    import_with_torchvision("timm")  # torchmetrics imports torchvision too
    from torchmetrics.functional.image import structural_similarity_index_measure

    torch.manual_seed(0)
    image = torch.rand(SHAPE)
    other = (image + 0.2 * torch.randn(SHAPE)).clamp(0, 1)

    def ours() -> tuple[float, torch.Tensor]:
        x = image.clone().requires_grad_()
        value = ssim(x, other, data_range=1.0)
        value.backward()
        return float(value.detach()), x.grad

    def theirs() -> tuple[float, torch.Tensor]:
        x = image.clone().requires_grad_()
        value = structural_similarity_index_measure(x, other, data_range=1.0)
        value.backward()
        return float(value.detach()), x.grad

    found = alternate(ours, theirs, options.rounds)
    (a, a_grad), (b, b_grad) = found["a_result"], found["b_result"]
    apart = float((a_grad - b_grad).abs().max() / b_grad.abs().max())
    row = {"ours s": found["a_s"], "torchmetrics s": found["b_s"], "ratio": found["ratio"], "CPU": found["cpu_ratio"]}
    print_table([row], title=f"SSIM forward and backward, {' x '.join(map(str, SHAPE))}")
    return verdict(
        [
            (f"equal values: {abs(a - b):.1e}, at most 1e-5", abs(a - b) <= 1e-5),
            (f"equal gradients: {apart:.1e} of the largest, at most 1e-4", apart <= 1e-4),
            (f"not slower: {found['ratio']:.2f} of its time", found["ratio"] <= 1),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
