"""How the ground lies, as nets of futures read it: what share of it is lower, and how hollow or crested it is.

Refuses nothing; it knows heights only.
"""

import math

import torch
from torch import nn

from headscarp.nets.layers import HeightAround, mean_within, stands_among

_LEVEL_M = 2.0  # heights that are nearer count as partly the same
_SMOOTH_M = 0.5  # added to how far ground departs from the mean around it, so that flat ground stands nowhere
_EVERY = 3
_NEAR_PX, _WIDE_PX = 1, 4
_OF_SHARE = 3.0**0.5
_WAVES = 8


class Relief(nn.Module):
    """Of each pixel the share of the ground up to 33 away that is lower, as a number of mean 0 and spread 1, and as
    eight waves, cos(pi k share), so that a net of few layers can tell one contour from the next; and how far the pixel
    lies above the mean of the nine pixels around it, and of the 81, in what is usual up to 24 away. So contours at a
    share of the heights, and hollows, can be read at any height, in any mountains.

    Of the ground around every third pixel is looked at, in rows and columns. Off the tile there is nothing.
    """

    planes = 1 + _WAVES + 2
    reach = 33
    """The mean of 81 and what is usual take 28."""
    metre: torch.Tensor

    def __init__(self, plane: int, std_m: float) -> None:
        """plane: of the elevation among the features. std_m: what it was divided by."""
        super().__init__()
        self.plane = plane
        self.register_buffer("metre", torch.tensor([1.0 / std_m]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F, H, W) -> (B, planes, H, W)."""
        z = features[:, self.plane : self.plane + 1].float()
        lower = share_lower(z, self.reach, every=_EVERY, level=self.metre * _LEVEL_M)
        waves = [torch.cos(math.pi * k * (lower + 1) / 2) for k in range(1, _WAVES + 1)]
        fine = z.double()
        apart = torch.cat([fine - mean_within(fine, _NEAR_PX), fine - mean_within(fine, _WIDE_PX)], dim=1)
        stands = stands_among(apart, HeightAround.reach, (self.metre * _SMOOTH_M).square())
        return torch.cat([_OF_SHARE * lower, *waves, stands], dim=1)


def share_lower(z: torch.Tensor, reach: int, *, every: int, level: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) from -1, where all that is looked at up to `reach` away is higher, to 1, where all is lower.

    z: (B, 1, H, W). every: rows and columns between what is looked at, a divisor of `reach`. level: (1,) differences
    that are smaller count in part, so that noise on level ground decides nothing.
    """
    h, w = z.shape[-2:]
    offsets = range(0, 2 * reach + 1, every)
    around = nn.functional.pad(z[:, 0], (reach,) * 4, value=float("nan"))
    total = torch.zeros_like(z[:, 0])
    for row in offsets:
        others = around[:, row : row + h].unfold(2, w, every)  # (B, H, offsets, W)
        apart = (z[:, 0, :, None] - others).div_(level).clamp_(-1, 1).nan_to_num_(0.0)
        total += apart.sum(dim=2)
    rows, cols = (_there(size, offsets, reach, z.device) for size in (h, w))
    return (total / (rows[:, None] * cols))[:, None]


def _there(size: int, offsets: range, reach: int, device: torch.device) -> torch.Tensor:
    """(size,) how many of the offsets from each row stay within the tile."""
    at = torch.arange(size, device=device)[:, None] + torch.tensor(offsets, device=device) - reach
    return ((at >= 0) & (at < size)).sum(dim=1)
