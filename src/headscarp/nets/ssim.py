"""Structural similarity of two images, fast enough to be a loss: blurs as products with banded matrices.

Refuses nothing; images smaller than the window's radius are blurred over what they have.
"""

import math
from functools import lru_cache

import numpy as np
import torch

WINDOW = 11
SIGMA = 1.5
_SIDE = 256  # outputs of one banded product; longer rows are cut, since most of a long matrix is zeros


def ssim(x: torch.Tensor, y: torch.Tensor, *, data_range: float) -> torch.Tensor:
    """The mean of `ssim_map`, a scalar; what torchmetrics' structural_similarity_index_measure gives."""
    return ssim_map(x, y, data_range=data_range).mean()


def ssim_map(x: torch.Tensor, y: torch.Tensor, *, data_range: float) -> torch.Tensor:
    """Structural similarity around each pixel, (B, C, H, W) float32 in [-1, 1]; 1 where the surroundings are the same.

    x, y: (B, C, H, W), finite. data_range: of their values, which says how small a contrast is noise. Gaussian window
    of 11 with a deviation of 1.5 pixels; images are mirrored beyond their edges. Source: Wang et al. (2004), with
    K1 = 0.01 and K2 = 0.03.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    with torch.autocast(x.device.type, enabled=False):  # differences of squares need all of float32
        x, y = x.float(), y.float()
        mean_x, mean_y = gaussian_blur(x), gaussian_blur(y)
        product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        covariance = gaussian_blur(x * y) - product
        variances = (gaussian_blur(x * x + y * y) - squares).clamp(min=0)
        return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def gaussian_blur(x: torch.Tensor) -> torch.Tensor:
    """(..., H, W) averaged with the window of `ssim_map`; mirrored beyond the edges."""
    return _along_rows(_along_columns(x))


def _along_columns(x: torch.Tensor) -> torch.Tensor:
    """Each row of pixels blurred from left to right."""
    width = x.shape[-1]
    pieces = [x[..., a:b] @ _band(width, start, a, b, x.device).T for start, a, b in _pieces(width)]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)


def _along_rows(x: torch.Tensor) -> torch.Tensor:
    height = x.shape[-2]
    pieces = [_band(height, start, a, b, x.device) @ x[..., a:b, :] for start, a, b in _pieces(height)]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-2)


def _pieces(size: int) -> list[tuple[int, int, int]]:
    """Where each run of outputs begins, and the inputs from a to b that it needs."""
    reach = WINDOW // 2
    return [(start, max(0, start - reach), min(size, start + _SIDE + reach)) for start in range(0, size, _SIDE)]


@lru_cache(maxsize=64)
def _band(size: int, start: int, a: int, b: int, device: torch.device) -> torch.Tensor:
    """(outputs, b - a) float32: the weights of inputs a to b in the outputs from `start` on, mirrored at the ends."""
    weights = [math.exp(-((k - WINDOW // 2) ** 2) / (2 * SIGMA**2)) for k in range(WINDOW)]
    outputs = min(_SIDE, size - start)
    made = np.zeros((outputs, b - a))
    for row in range(outputs):
        for k, weight in enumerate(weights):
            made[row, _mirrored(start + row + k - WINDOW // 2, size) - a] += weight / sum(weights)
    with torch.inference_mode(False):  # it is kept, and may next be needed for a gradient
        return torch.tensor(made, dtype=torch.float32, device=device)


def _mirrored(index: int, size: int) -> int:
    if size == 1:
        return 0
    index = abs(index) % (2 * (size - 1))
    return min(index, 2 * (size - 1) - index)
