"""Several nets of one kind as one: the mean of what they say, and how far they are apart.

Where nets that differ by chance alone disagree, the data did not teach it. Refuses nets that do not say the same.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from headscarp.nets.batch import Batch
from headscarp.nets.net import Net, Output

SPREAD = "spread: "
_SPREAD_OF = ("hazard: ", "cause: ", "kind: ")


class Ensemble(Net):
    """The mean over members of each output; then, for hazards, causes and kinds, the standard deviation over members.

    All else (what it reads, how tiles are laid) is that of the first member. Source: Lakshminarayanan, Pritzel and
    Blundell (2017).
    """

    def __init__(self, members: Sequence[Net]) -> None:
        """members: two or more nets with the same bands and outputs."""
        first = members[0]
        super().__init__(first.bands, resolution_m=first.resolution_m, statistics=first.statistics)
        names = [output.name for output in first.outputs]
        assert all([output.name for output in member.outputs] == names for member in members)
        self.members = nn.ModuleList(members)
        for name in ("reach", "align", "stride", "local", "window_px", "own_threshold"):
            setattr(self, name, getattr(first, name))
        for name in ("frames", "judges_places", "judges_classes", "needs_labels", "opening_px"):
            setattr(self, name, getattr(first, name))  # of the instance: what it is made of is known only now
        self.apart = [i for i, name in enumerate(names) if name.startswith(_SPREAD_OF)]
        spreads = (Output(SPREAD + names[i], high=0.5) for i in self.apart)
        self.outputs = (*first.outputs, *spreads)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The mean of each loss of the members."""
        of_members = [member.losses(batch) for member in self._nets()]
        return {name: torch.stack([losses[name] for losses in of_members]).mean(dim=0) for name in of_members[0]}

    def predict(self, batch: Batch) -> torch.Tensor:
        """(B, K + S, H, W): the mean of the K outputs, then the deviation of S of them."""
        said = torch.stack([member.predict(batch) for member in self._nets()])  # (M, B, K, H, W)
        spread = said[:, :, self.apart].std(dim=0, correction=0).clamp(max=0.5)
        return torch.cat([said.mean(dim=0), spread], dim=1)

    def counted(self, batch: Batch) -> torch.Tensor:
        return self._nets()[0].counted(batch)

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        return self._nets()[0].targets(y)

    def judged(self, batch: Batch, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the first member has it, of the means."""
        first = self._nets()[0]
        return first.judged(batch, predicted[:, : len(first.outputs)])

    def settle(self, batches: Iterable[Batch]) -> None:
        """Nothing: members were settled one by one."""

    def _nets(self) -> list[Net]:
        return list(self.members)  # type: ignore[arg-type]
