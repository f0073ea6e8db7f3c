"""How large a share of a place a task changes, and how strongly: what futures are asked for, and planes that meet it.

Everything is local, so that tiles of a map fit together: a place is what lies up to 24 pixels away. Refuses tables that
say nothing of a share.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from headscarp.core.errors import RecipeError
from headscarp.core.scenarios import TASKS, task_code
from headscarp.nets.layers import HeightAround, mean_within

REACH = HeightAround.reach
QUANTILES = 33
_DRAWN = 3  # numbers of a table before its quantiles
_MOST = 0.97  # how sure a plane is taken to be where it is moved
_MOVES = torch.linspace(-4, 4, 17)
_CUTS = torch.tanh(torch.linspace(-2.6, 2.6, 21))
_SHARP = 4.0

Areas = dict[str, list[float]]
"""By task: how far the angle follows that of what is likely around, how wide its chance is, the deviation of what is
normal in the logarithm of strength, and QUANTILES quantiles of what is left of the angle. The angle of a share a is
arcsin(sqrt(a)), whose variance depends little on how large the share is."""


def known_areas(areas: Mapping[str, Sequence[float]]) -> Areas:
    """The same as plain lists. Raises RecipeError for unknown tasks and tables that cannot be."""
    for name, table in areas.items():
        finite = all(math.isfinite(number) for number in table)
        if task_code(name) >= 0 and (
            len(table) != _DRAWN + QUANTILES or not finite or list(table[_DRAWN:]) != sorted(table[_DRAWN:])
        ):
            raise RecipeError(
                f"areas of {name} are {len(table)} numbers; give {_DRAWN + QUANTILES}, of which all but the first "
                f"{_DRAWN} rise, or leave areas out: headscarp.train.spread.with_spread makes them"
            )
    return {name: [float(number) for number in table] for name, table in areas.items()}


def with_chance(table: Sequence[float], share: float, strength: float) -> list[float]:
    """A table whose shares are so many times as far apart, and strengths as far apart as this deviation says."""
    return [table[0], table[1] * share, strength, *table[_DRAWN:]]


def angle(share: torch.Tensor) -> torch.Tensor:
    """Of shares in [0, 1], what lies outside is cut."""
    return torch.asin(share.clamp(0, 1).sqrt())


def asked_share(areas: Areas, task: torch.Tensor, around: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) the share of the ground around each pixel that a future is to change; NaN under tasks without a
    table. task: (B,). around: (B, 1, H, W) the share that is likely. chance: the same, from N(0, 1)."""
    tables = _tables(areas, task, chance)
    at = torch.special.ndtr(chance * tables[:, 1]) * (QUANTILES - 1)
    left = torch.zeros_like(at)
    for k in range(QUANTILES - 1):  # a straight line between two quantiles
        left += (at - k).clamp(0, 1) * (tables[:, _DRAWN + k + 1] - tables[:, _DRAWN + k])
    turned = tables[:, _DRAWN] + left + tables[:, 0] * angle(around)
    return turned.clamp(0, math.pi / 2).sin().square()


def strengths(areas: Areas, task: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) what the change of a future is multiplied by, of mean 1; 1 under tasks without a table. task: (B,).
    chance: (B, 1, H, W) from N(0, 1)."""
    wide = _tables(areas, task, chance)[:, 2]
    return torch.exp(wide * chance - wide.square() / 2)


def meeting(
    said: torch.Tensor, certain: torch.Tensor, asked: torch.Tensor, *, planes: bool, last: bool
) -> torch.Tensor:
    """What a flow says of a future, with the extent that was asked for, and with planes that meet the share where that
    is wanted. Where more or less is done then than was said, bands change with it as far as the guess says.

    said: (B, 2 (K + 1), H, W) planes and extents. certain: (B, F + 2 (K + 1), H, W), behind the features the guess and
    its means. asked: (B, 2, H, W) share and extent, NaN under tasks that nothing is asked of.
    """
    n = said.shape[1] // 2
    share, extent = asked.split(1, dim=1)
    known = torch.isfinite(share)
    said = torch.cat([said[:, :-1], torch.where(known, extent, said[:, -1:])], dim=1)
    if not planes:
        return said
    plane, guess = said[:, n - 1 : n], certain[:, -2 * n : -n - 1]
    met = torch.where(known, with_share(plane, share) if last else with_mean(plane, share), plane)
    bands = said[:, : n - 1] + (met.clamp(-1, 1) - plane.clamp(-1, 1)) / 2 * guess
    return torch.cat([bands, met, said[:, n:]], dim=1)


def with_mean(plane: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """A plane of what is expected, -1 to 1, moved so that its mean around each pixel says the share: log-odds are moved
    alike, so what is sure stays. plane, share: (B, 1, H, W)."""
    odds, wanted = torch.atanh(plane.clamp(-_MOST, _MOST)), (2 * share - 1).clamp(-_MOST, _MOST)
    move = _where_met(lambda by: torch.tanh(odds + by), _MOVES, wanted)
    return plane + torch.tanh(odds + move) - torch.tanh(odds)


def with_share(plane: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """A plane of which the share around each pixel is above 0, and which is sure of itself. What was -1 or 1 stays."""
    cut = -_where_met(lambda by: (plane > -by).float(), _CUTS, share)
    moved = torch.where(plane > cut, (plane - cut) / (1 - cut), (plane - cut) / (1 + cut))
    return (_SHARP * moved).clamp(-1, 1)


def _tables(areas: Areas, task: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, numbers, 1, 1, 1) the table of each tile."""
    unknown = [0.0, 1.0, 0.0, *[math.nan] * QUANTILES]
    tables = torch.tensor([areas.get(name, unknown) for name in TASKS], device=like.device)
    return tables[task][:, :, None, None, None]


def _where_met(of: Callable[[float], torch.Tensor], options: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """At each pixel the option, between two of those given, whose plane has the wanted mean around; means rise."""
    found = torch.full_like(wanted, float(options[0]))
    before, last = mean_within(of(float(options[0])), REACH), float(options[0])
    for option in map(float, options[1:]):
        mean = mean_within(of(option), REACH)
        part = ((wanted - before) / (mean - before).clamp(min=1e-6)).clamp(0, 1)
        found += torch.where(mean > before, part, (wanted > before).float()) * (option - last)
        before, last = mean, option
    return found
