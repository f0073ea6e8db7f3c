"""Verbs run as a user runs them, in this process. Tests of any room: `from verbs import said, succeed`."""

from pathlib import Path
from types import SimpleNamespace

from typer.testing import CliRunner

from headscarp.cli import app, output


def said(*words: object) -> SimpleNamespace:
    """code: of the exit. text: all that was said, its white space made single blanks."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    output.as_json = False
    return SimpleNamespace(code=done.exit_code, text=" ".join(done.output.split()))


def succeed(*words: object) -> str:
    """What a verb says that has to succeed, as it stands."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def train_nets(stack: Path, nets: tuple[str, ...], config: str, *more: object) -> list[str]:
    """Trains bundles beside a stack, each named after its net; returns what was said of each. more: words."""
    (stack.parent / "train.toml").write_text(config, encoding="utf-8")
    told = []
    for net in nets:
        words = ["train", stack, "--net", net, "--out", stack.parent / net, "--accelerator", "cpu"]
        done = said(*words, "--config", stack.parent / "train.toml", "--workers", 1, *more)
        assert done.code == 0, done.text
        told.append(done.text)
    return told
