"""The moving average of a net's weights, which is what is validated and kept where the settings ask for one.

It is updated behind each step of the optimiser and holds tensors only, so that a checkpoint can keep it. Refuses
nothing; the decay is checked with the settings.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Average:
    """Weights and buffers of a net, averaged over steps: w <- decay * w + (1 - decay) * now (Polyak and Juditsky 1992).

    The first steps count more, by a decay of (1 + n) / (10 + n), so that the fresh weights are soon forgotten. Whole
    numbers are taken as they are. decay 0 is the net itself, and costs nothing.
    """

    def __init__(self, net: torch.nn.Module, decay: float) -> None:
        self.net, self.decay, self.steps = net, float(decay), 0
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()} if decay else {}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights of the net after a step into account."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        now = self.net.state_dict()
        smooth = [name for name, mean in self.weights.items() if mean.is_floating_point()]
        means = [self.weights[name] for name in smooth]
        torch._foreach_lerp_(means, [now[name].to(self.weights[name].device) for name in smooth], 1 - decay)
        for name in self.weights.keys() - set(smooth):
            self.weights[name].copy_(now[name])

    def follow(self, optimiser: torch.optim.Optimizer) -> None:
        """Updates behind each step of this optimiser."""
        if self.decay:
            optimiser.register_step_post_hook(lambda *_: self.update())

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the net has the average weights; behind it its own again."""
        if not self.decay:
            yield
            return
        own = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.weights)
        try:
            yield
        finally:
            self.net.load_state_dict(own)

    def state(self) -> dict[str, object]:
        """What `load` brings back."""
        return {"steps": self.steps, "weights": self.weights}

    def load(self, state: Mapping[str, object]) -> None:
        """Goes on where `state` was taken. Raises KeyError for weights of another net."""
        weights: Mapping[str, torch.Tensor] = state["weights"]  # type: ignore[assignment]
        for name, mean in self.weights.items():
            mean.copy_(weights[name])
        self.steps = int(state["steps"])  # type: ignore[call-overload]
