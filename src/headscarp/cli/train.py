"""headscarp train: from a stack to a bundle."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headscarp.cli.options import (
    BlockSize,
    Buffer,
    Delay,
    Fold,
    Folds,
    HoldOut,
    Label,
    LaterThan,
    Out,
    Overwrite,
    Resume,
    Seed,
    SplitOption,
    StackPath,
    Workers,
)
from headscarp.cli.output import say, tell

_TOLD = ("nll", "skill", "auroc", "crps_ndvi", "mask_iou")


def train(
    stack: StackPath,
    net: Annotated[str, typer.Option("--net", help="One of those in docs/nets.md, such as sacnn, unet or forecast.")],
    out: Out,
    label: Label = None,
    split: SplitOption = None,
    block_size_m: BlockSize = None,
    buffer_m: Buffer = None,
    folds: Folds = None,
    fold: Fold = None,
    hold_out_region: HoldOut = None,
    later_than: LaterThan = None,
    delay_days: Delay = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Default: the paper's for this net.", min=0)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Tiles per step.", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Default: the paper's.")] = None,
    optimiser: Annotated[str | None, typer.Option("--optimiser", help="adam or sgd.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with [train] and [train.NET]; default: the recipe's.")
    ] = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[int, typer.Option("--devices", help="How many GPUs or processes.", min=1)] = 1,
    precision: Annotated[
        str | None, typer.Option("--precision", help="32-true or bf16-mixed; default: the recipe's, else 32-true.")
    ] = None,
    workers: Workers = None,
    seed: Seed = None,
    allow_generated: Annotated[
        bool | None, typer.Option("--allow-generated", help="Learn from bands that a net has made, too.")
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train one net on a stack; the bundle holds weights, normalisation, calibration, split and figures.

    Validation happens on pixels that training never sees, at natural prevalence; the best weights are kept, not the
    last. Watch it with `tensorboard --logdir OUT/log`. Ctrl-C keeps a checkpoint; `--resume` goes on to the same
    result as if nothing had happened.

        headscarp train stack.zarr --net sacnn --out sacnn/
    """
    from headscarp.core.stack import open_stack
    from headscarp.tiles.series import with_delay
    from headscarp.train.fit import fit
    from headscarp.train.plan import chosen_configs, chosen_split

    opened = with_delay(open_stack(stack), delay_days)
    options: dict[str, Any] = {
        "block_size_m": block_size_m,
        "buffer_m": buffer_m,
        "folds": folds,
        "fold": fold,
        "seed": seed,
    }
    options |= {"hold_out": hold_out_region, "later_than": later_than}
    configs = chosen_configs(
        opened,
        config,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimiser=optimiser,
        accelerator=accelerator,
        devices=devices,
        precision=precision,
        workers=workers,
        seed=seed,
        allow_generated=allow_generated,
    )
    settings = configs.get(net, configs[""])
    chosen = chosen_split(opened, split, **options)
    bundle = fit(
        opened, net=net, split=chosen, out=out, label=label, config=settings, resume=resume, overwrite=overwrite
    )
    rows = [row for row in bundle.metrics if row.get("part") == "validation" and row["value"] is not None]
    scores = {row["metric"]: row["value"] for row in rows}
    tell(bundle=out, **{f"validation_{k}": f"{scores[k]:.4f}" for k in _TOLD if k in scores})
    say(f"next: headscarp evaluate {out} {stack} --out metrics/")
