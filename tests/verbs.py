"""Verbs run as a user runs them, in this process. Tests of any room: `from verbs import said, succeed`."""

import re
import shlex
from collections.abc import Mapping
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


def all_of_it(page: str, recipe: str, tinier: Mapping[str, str], home: Path) -> str:
    """Runs the commands below the heading "All of it, small" of a page of the docs, word for word, from a folder `home`
    with the recipe made tinier still; returns what was said. tinier: words of the recipe and what stands for them.

    The folder has to be the working directory."""
    root = Path(__file__).parents[1]
    block = re.search(r"## All of it, small\n.*?```sh\n(.*?)```", (root / "docs" / page).read_text(), flags=re.DOTALL)
    assert block is not None
    text = (root / "recipes" / recipe).read_text()
    for full, tiny in tinier.items():
        assert full in text, full
        text = text.replace(full, tiny)
    (home / "recipes").mkdir()
    (home / "recipes" / recipe).write_text(text)
    told = ""
    for line in block[1].replace("\\\n", " ").splitlines():
        name, *words = shlex.split(line)
        assert name == "headscarp"
        told += succeed(*words)
    return told
