"""What can be measured of a site, a pair of pictures, that may have become a mine: plain numbers, none a verdict.

Each group of numbers is one way to look: how far what came is from sampled futures under each task, how well a flow
explains it, how far it moved in latents and in random features, what no prediction from before holds, and what a
classifier says. No net is told when or where a picture was taken. Refuses nothing: sites without pixels give NaN.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headscarp.core.scenarios import TASKS
from headscarp.evaluation.kinds import KIND
from headscarp.evaluation.suites import energy_score
from headscarp.nets.batch import Batch
from headscarp.nets.futures import FutureNet
from headscarp.nets.net import Net
from headscarp.nets.randomfeatures import RandomFeatures
from headscarp.nets.vae import VAE

CHANGED_AT = 0.05
"""A pixel counts as changed where its bands change by this or more, root mean square over them, in their units (of
reflectance); chosen by hand."""
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Instruments:
    """What sites are measured with. tasks: of which futures are drawn, "mining" first. samples: of each. bands: names
    that batches hold; targets: names that they hold pictures after of. mining: classes of `kind` that are mines. whole:
    whether tasks befall whole places, as for pairs, so that no outline of what changed is asked for."""

    generator: FutureNet
    tasks: tuple[str, ...]
    samples: int
    bands: tuple[str, ...]
    targets: tuple[str, ...]
    shape: tuple[int, int]
    whole: bool
    mining: tuple[str, ...] = ()
    kind: Net | None = None
    vae: VAE | None = None
    direct: FutureNet | None = None

    @property
    def align(self) -> int:
        """Sides of tiles are multiples of this."""
        return math.lcm(*(net.align for net in (self.generator, self.kind, self.vae, self.direct) if net is not None))


@dataclass(frozen=True)
class Measured:
    """Numbers of a site by "group: what", the number of the future nearest to what came for each task, and the share of
    the place that changed; seen: share of pixels that both pictures show."""

    numbers: Mapping[str, float]
    nearest: Mapping[str, int]
    changed: float
    seen: float

    def to_json(self) -> dict[str, Any]:
        return {
            "numbers": dict(self.numbers),
            "nearest": dict(self.nearest),
            "changed": self.changed,
            "seen": self.seen,
        }


class Site:
    """The pictures of a batch of sites, read once: for every net the bands that it reads, in its order."""

    def __init__(self, tools: Instruments, batch: Batch) -> None:
        assert batch.after is not None
        self.tools, self.batch = tools, batch
        self.before = {name: batch.x[:, i] for i, name in enumerate(tools.bands)}
        self.after = {**self.before, **{name: batch.after[:, i] for i, name in enumerate(tools.targets)}}
        net = tools.generator
        self.mean = net.encode.mean[net.scaled_at][:, None, None]
        self.std = net.encode.std[net.scaled_at][:, None, None]

    def planes(self, of: Mapping[str, torch.Tensor], names: Sequence[str]) -> torch.Tensor:
        """(B, C, H, W) of these bands."""
        return torch.stack([of[name] for name in names], dim=1)

    def given(self, net: FutureNet, task: str) -> Batch:
        """What a net that makes pictures is given: the picture before and the task; nothing of when and where."""
        code = torch.full((len(self.batch.x),), TASKS.index(task), device=self.batch.x.device)
        done = torch.ones_like(self.batch.valid) if self.tools.whole else self.magnitude() >= CHANGED_AT
        return Batch(
            self.planes(self.before, [band.name for band in net.bands]),
            self.batch.valid,
            done.to(torch.uint8),
            self.batch.tiles,
            after=self.planes(self.after, net.change),
            task=code,
        )

    def picture(self, task: str, number: int) -> torch.Tensor:
        """(B, K, H, W) a future under a task, on the pixels of the sites."""
        return next(self.pictures(task, (number,)))

    def pictures(self, task: str, numbers: Sequence[int]) -> Iterator[torch.Tensor]:
        """The same of several futures, one after the other; what they share is computed once."""
        net = self.tools.generator
        return (self.cut(made[:, :-1]) for made in net.pictures(self.given(net, task), numbers))

    def cut(self, planes: torch.Tensor) -> torch.Tensor:
        return planes[..., : self.tools.shape[0], : self.tools.shape[1]]

    def magnitude(self) -> torch.Tensor:
        """(B, H, W) root mean square of the change over the bands, in their units; NaN where one is missing."""
        names = self.tools.generator.change
        change = self.planes(self.after, names) - self.planes(self.before, names)
        return change.square().mean(dim=1).sqrt()

    def came(self) -> torch.Tensor:
        """(B, K, H, W) what is there after; missing pixels as the training mean, as in what nets make."""
        planes = self.planes(self.after, self.tools.generator.change)
        return self.cut(torch.where(torch.isfinite(planes), planes, self.mean))


def measure(tools: Instruments, batch: Batch) -> list[Measured]:
    """The numbers of each site of a batch whose tiles hold one site each."""
    site, count = Site(tools, batch), len(batch.x)
    numbers: list[dict[str, float]] = [{} for _ in range(count)]
    nearest: list[dict[str, int]] = [{} for _ in range(count)]
    magnitude = site.cut(site.magnitude())
    seen = torch.isfinite(magnitude).float().mean(dim=(1, 2))
    spaces = _spaces(site)
    came = site.came()
    where = {name: space(came) for name, space in spaces.items()}
    for task in tools.tasks:
        pictures = list(site.pictures(task, range(tools.samples)))
        for name, space in spaces.items():
            members = np.stack([space(picture) for picture in pictures], axis=1)  # (B, M, F)
            for i in range(count):
                numbers[i][f"scenarios: {name}, {task}"] = energy_score(members[i], where[name][i])
                far = np.linalg.norm(members[i] - where[name][i], axis=1)
                nearest[i][task] = int(far.argmin())
        said = torch.stack(pictures).mean(dim=0)
        if tools.direct is not None:
            said = site.cut(tools.direct.picture(site.given(tools.direct, task), 0)[:, :-1])
        _spread(numbers, f"inpainting: {task}", ((came - said) / site.std).square().mean(dim=(1, 2, 3)).sqrt())
        evidence = tools.generator.evidence(site.given(tools.generator, task))
        if evidence is not None:
            _spread(numbers, f"evidence: {task}", evidence)
    before = site.planes(site.before, tools.generator.change)
    before = site.cut(torch.where(torch.isfinite(before), before, site.mean))
    for name, space in spaces.items():
        group = "latents" if name == "latents" else "random features"
        _spread(numbers, f"{group}: moved", torch.from_numpy(np.linalg.norm(where[name] - space(before), axis=1)))
    if tools.vae is not None:
        gained = [_elbo(tools.vae, site.planes(of, _read(tools.vae))) for of in (site.after, site.before)]
        _spread(numbers, "latents: stranger", gained[1] - gained[0])
    if tools.kind is not None:
        _spread(numbers, "kind: log odds", _kind_odds(tools, site))
    return [
        Measured(
            {name: value if seen[i] > 0 else math.nan for name, value in numbers[i].items()},
            nearest[i],
            float((magnitude[i] >= CHANGED_AT).float().sum() / max(float(torch.isfinite(magnitude[i]).sum()), 1.0)),
            float(seen[i]),
        )
        for i in range(count)
    ]


def _spaces(site: Site) -> dict[str, Any]:
    """Features that pictures (B, K, H, W) are compared by, by name: (B, F) each."""
    tools = site.tools
    random = RandomFeatures(len(tools.generator.change))
    spaces: dict[str, Any] = {"random features": lambda picture: _numpy(random((picture - site.mean) / site.std))}
    if tools.vae is not None:
        vae = tools.vae

        def latents(picture: torch.Tensor) -> NDArray[np.float64]:
            # A picture has the pixels of the sites; what a tile has beyond them is taken from what is there.
            of = {**site.after, **_laid(site, picture)}
            return _numpy(_latents(vae, site.planes(of, _read(vae))))

        spaces["latents"] = latents
    return spaces


def _laid(site: Site, picture: torch.Tensor) -> dict[str, torch.Tensor]:
    rows, cols = picture.shape[-2:]
    laid = {}
    for k, name in enumerate(site.tools.generator.change):
        plane = site.after[name].clone()
        plane[:, :rows, :cols] = picture[:, k]
        laid[name] = plane
    return laid


def _read(vae: VAE) -> list[str]:
    return [vae.bands[i].name for i in vae.read]


def _images(vae: VAE, planes: torch.Tensor) -> torch.Tensor:
    """(B * n, C, p, p) places of pictures (B, C, H, W) of the bands that are read."""
    whole = planes.new_zeros(len(planes), len(vae.bands), *planes.shape[-2:])
    whole[:, vae.read] = planes
    return vae.images(Batch(whole, torch.ones_like(whole[:, 0], dtype=torch.bool)))[0]


def _latents(vae: VAE, planes: torch.Tensor) -> torch.Tensor:
    found = vae.encoded(_images(vae, planes))[0]
    return found.view(len(planes), -1, found.shape[1]).mean(dim=1)


def _elbo(vae: VAE, planes: torch.Tensor) -> torch.Tensor:
    return vae.elbo(_images(vae, planes)).view(len(planes), -1).mean(dim=1)


def _kind_odds(tools: Instruments, site: Site) -> torch.Tensor:
    """(B,) log odds of the classes that are mines."""
    net = tools.kind
    assert net is not None
    names = [band.name for band in net.bands]
    frames = torch.stack([site.planes(site.before, names), site.planes(site.after, names)], dim=1)
    planes = [i for i, output in enumerate(net.outputs) if output.name in {KIND + name for name in tools.mining}]
    p = net.predict(replace(site.batch, x=frames, after=None, task=None, metadata=None))[:, planes]
    share = p.mean(dim=(-2, -1)).sum(dim=1).clamp(_SMALLEST, 1 - _SMALLEST)
    return share.log() - (-share).log1p()


def _spread(numbers: Sequence[dict[str, float]], name: str, values: torch.Tensor) -> None:
    for of, value in zip(numbers, values.tolist(), strict=True):
        of[name] = float(value)


def _numpy(values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(values.double().numpy())
