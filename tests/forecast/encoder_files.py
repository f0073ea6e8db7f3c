"""Encoders of timm as files, in the layouts that those of SSL4EO-L and SSL4EO-S12 are stored in."""

import torch

from headscarp.nets._torchvision import import_with_torchvision

ENCODER = "test_resnet"
FORMS = {
    "published.pth": lambda own, other: own,
    "trained.ckpt": lambda own, other: {
        "epoch": 199,
        "hyper_parameters": {"model": ENCODER, "in_channels": 7},
        "state_dict": {
            **{f"backbone.{name}": v for name, v in own.items()},
            **{f"backbone_momentum.{name}": v for name, v in other.items()},
            "projection_head.layers.0.weight": torch.zeros(5, 5),
            "criterion.memory_bank.bank": torch.zeros(3),
        },
    },
    "backbone.ckpt": lambda own, other: {
        "hyper_parameters": {"backbone": ENCODER},
        "state_dict": {f"model.backbone.model.{name}": v for name, v in own.items()},
    },
    "moco.pth": lambda own, other: {
        "arch": ENCODER,
        "state_dict": {
            **{f"module.encoder_q.{name}": v for name, v in own.items()},
            **{f"module.encoder_k.{name}": v for name, v in other.items()},
            "module.encoder_q.fc.0.weight": torch.zeros(5, 5),
            "module.queue": torch.zeros(5, 9),
        },
    },
    "dino.pth": lambda own, other: {
        "student": {f"module.backbone.{name}": v for name, v in other.items()},
        "teacher": {
            **{f"backbone.{name}": v for name, v in own.items()},
            "head.last_layer.weight": torch.zeros(5, 5),
        },
    },
}


def encoder_of_timm(name, channels=7, seed=0):
    """A model that no file has changed, with batch statistics of its own, which hears every plane."""
    torch.manual_seed(seed)
    size = {"dynamic_img_size": True} if "vit" in name else {}
    made = import_with_torchvision("timm").create_model(name, in_chans=channels, num_classes=0, **size).eval()
    for key, value in made.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.uniform_(-0.2, 0.2)
        elif key.endswith(("running_var", "bn3.weight", "bn2.weight")):
            value.uniform_(0.5, 1.5)
    return made


def write(folder, name=ENCODER, form="published.pth", channels=7):
    own, other = (encoder_of_timm(name, channels, seed).state_dict() for seed in (0, 1))
    torch.save(FORMS[form](own, other), folder / form)
    return folder / form
