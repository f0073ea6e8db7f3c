"""The adversarial step beside bare torch: the same generator, encoder and critic, the same batches, the same weights.

    python benchmarks/adversarial.py

One epoch of `cgan` on simulated scenarios by `train_adversarially`, with Fabric, progress, the watch over the loss, the
moving average, TensorBoard, history and a checkpoint; against a loop that does the losses of BicycleGAN, two
optimisers and the average in plain torch, and reads through the same reader. Both judge the validation part. One
thread, in turn; the bar is on CPU seconds. Fails where weights differ or the loop takes more than 1.03 times the bare
one.
"""

import copy
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from _bench import alternate, describe_machine, print_table, verdict
from torch import nn

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.nets.batch import Batch
from headscarp.nets.cgan import CGAN
from headscarp.nets.critic import Critic, Encoder
from headscarp.tiles.sampling import batches
from headscarp.train.adversarial import BETAS, make_play, train_adversarially
from headscarp.train.config import FitConfig
from headscarp.train.devices import start_fabric
from headscarp.train.lesson import drawn_tiles, make_lesson
from headscarp.train.log import EpochLog
from headscarp.train.rates import step_rate
from headscarp.train.stage import open_ground, trained_net

BAR, ROUNDS = 1.03, int(os.environ.get("HEADSCARP_BENCH_ROUNDS", "7"))
TABLE = {"places_per_region": 10, "regions": ["india"], "futures": 4, "side_px": 32}
CONFIG = FitConfig(epochs=1, batch_size=8, workers=1)


def main() -> int:
    torch.set_num_threads(1)
    print(f"adversarial step; {describe_machine()}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        recipe = domains_recipe_from_dict({"name": "bench", "seed": 1, "scenarios": TABLE})
        build_domains(recipe, home / "stack.zarr", workers=2)
        ground = open_ground(home / "stack.zarr", None, cache=home / "cache")
        fabric = start_fabric(CONFIG)
        new, _ = trained_net(ground, "cgan", replace(CONFIG, epochs=0), fabric=fabric)
        lesson, settings = make_lesson(ground, new, CONFIG), CONFIG.for_loop(CGAN.schedule)
        run = [0]

        def loop() -> CGAN:
            run[0] += 1
            net, here = copy.deepcopy(new).train(), home / str(run[0])
            told = EpochLog(here)
            torch.manual_seed(1)
            train_adversarially(net, lesson, settings, fabric=fabric, folder=here / ".c", told=told, label="cgan")
            told.close()
            return net

        def alone() -> CGAN:
            net = copy.deepcopy(new).train()
            torch.manual_seed(1)
            play = make_play(net, lesson, settings, fabric)
            return bare(net, play.encoder, play.critic, lesson, settings)

        found = alternate(loop, alone, ROUNDS)
    ends = [found[key].state_dict() for key in ("a_result", "b_result")]
    learned = [name for name, _ in new.named_parameters()]
    apart = max(float((ends[0][name] - ends[1][name]).abs().max()) for name in learned)
    steps = -(-len(drawn_tiles(lesson, settings, 1)) // settings.batch_size)
    row = {
        "steps": steps, "ours CPU s": found["a_cpu_s"], "bare CPU s": found["b_cpu_s"],
        "ours / bare, CPU": found["cpu_ratio"], "wall": found["ratio"], "rounds": found["rounds"],
    }  # fmt: skip
    print_table([row], title="one epoch of cgan, validation included")
    return verdict(
        [
            (f"at most {BAR} x bare torch: {found['cpu_ratio']:.3f}", found["cpu_ratio"] <= BAR),
            (f"the weights of both differ by at most 1e-5: {apart:.1e}", apart <= 1e-5),
        ]
    )


def bare(net: CGAN, encoder: Encoder, critic: Critic, lesson, settings) -> CGAN:  # type: ignore[no-untyped-def]
    """BicycleGAN in plain torch, after the paper: what any loop has to do."""
    both = [*net.parameters(), *encoder.parameters()]
    ours = torch.optim.Adam(both, settings.learning_rate, betas=BETAS)
    theirs = torch.optim.Adam(critic.parameters(), settings.learning_rate, betas=BETAS)
    mean_of = {name: value.detach().clone() for name, value in net.state_dict().items()}
    torch.manual_seed(settings.seed * 1_000_003)
    tiles, size = drawn_tiles(lesson, settings, 1), settings.batch_size
    stream = batches(lesson.reader, tiles, batch_size=size, augment_seed=(settings.seed, 1), workers=settings.workers)
    for number, batch in enumerate(stream):
        rate = step_rate(settings, settings.learning_rate, number * size / len(tiles))
        for group in (*ours.param_groups, *theirs.param_groups):
            group["lr"] = rate
        fakes, real, told, loss = generator_loss(net, encoder, critic, batch)
        ours.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(both, settings.clip_norm)
        ours.step()
        follow(mean_of, net, settings.average, number + 1)
        lost = 2 * _square(critic(real, told), 1.0)  # first: each look of the critic turns its norms a little
        lost = lost + sum(_square(critic(fake.detach(), told), 0.0) for fake in fakes)
        theirs.zero_grad()
        (lost / 2).backward()
        nn.utils.clip_grad_norm_(list(critic.parameters()), settings.clip_norm)
        theirs.step()
    net.load_state_dict(mean_of)
    net.eval()
    with torch.no_grad():
        for batch in batches(lesson.reader, lesson.validation, batch_size=size, workers=settings.workers):
            net.losses(batch)["crps"].item()
            net.glance(batch)
    net.settle(batches(lesson.reader, lesson.validation, batch_size=size, workers=settings.workers))
    return net


def generator_loss(net: CGAN, encoder: Encoder, critic: Critic, batch: Batch):  # type: ignore[no-untyped-def]
    planes, counts = net.pictured_of(batch)
    features, told = net.features(batch), net.told(batch)
    net.remember(batch, features)
    seen = net.unet.look(features, told)
    mean, spread = encoder(torch.cat([features, planes], dim=1), told)
    z = mean + torch.randn_like(mean) * (spread / 2).exp()
    drawn = torch.randn_like(mean)
    again, free = (net.pictured(batch, net.finish(seen, one)) for one in (z, drawn))
    fakes = [torch.cat([features, made * counts], dim=1) for made in (again, free)]
    critic.requires_grad_(False)
    loss = sum(_square(critic(fake, told), 1.0) for fake in fakes)
    critic.requires_grad_(True)
    rebuilt = (((again - planes).abs().mean(dim=1, keepdim=True)) * counts).sum() / counts.sum().clamp(min=1)
    loss = loss + 10 * rebuilt + 0.01 * (mean.square() + spread.exp() - 1 - spread).sum(dim=1).mean() / 2
    still = {name: weight.detach() for name, weight in encoder.named_parameters()}
    found, _ = torch.func.functional_call(encoder, still, (fakes[1], told))
    loss = loss + 0.5 * (found - drawn).abs().mean()
    return fakes, torch.cat([features, planes * counts], dim=1), told, loss


@torch.no_grad()
def follow(mean_of: dict[str, torch.Tensor], net: CGAN, decay: float, steps: int) -> None:
    """The moving average of the generator."""
    decay = min(decay, (1 + steps) / (10 + steps))
    for name, value in net.state_dict().items():
        mean = mean_of[name]
        mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)


def _square(said, wanted: float):  # type: ignore[no-untyped-def]
    return torch.stack([(scale - wanted).square().mean() for scale in said]).mean()


if __name__ == "__main__":
    sys.exit(main())
