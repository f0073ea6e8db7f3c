"""The command line: one file per verb, and here what they share: errors, warnings, logging, exit codes.

A command parses, calls, and prints what it made. Nothing heavy is imported until a command runs, so help is instant.
Exit codes: 0 done, 1 a bug (with its traceback), 2 something the user can mend, 130 interrupted.
"""

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from headscarp import __version__
from headscarp.cli import domains as domains_verbs
from headscarp.cli import output
from headscarp.cli.ablate import ablate
from headscarp.cli.advise import advise
from headscarp.cli.audit import audit
from headscarp.cli.build import build
from headscarp.cli.catalog import catalog
from headscarp.cli.compare import compare
from headscarp.cli.damage import damage
from headscarp.cli.datasets import datasets
from headscarp.cli.demo import demo
from headscarp.cli.ensemble import ensemble
from headscarp.cli.evaluate import evaluate
from headscarp.cli.explain import explain
from headscarp.cli.fetch import fetch
from headscarp.cli.forecast import forecast
from headscarp.cli.info import info
from headscarp.cli.latent import latent
from headscarp.cli.mining import mining
from headscarp.cli.next import next as next_
from headscarp.cli.planting import planting
from headscarp.cli.predict import predict
from headscarp.cli.regions import regions
from headscarp.cli.run import run
from headscarp.cli.scenario import scenario
from headscarp.cli.score import score
from headscarp.cli.search import search
from headscarp.cli.train import train
from headscarp.cli.vectorize import vectorize
from headscarp.core.errors import HeadscarpError, HeadscarpWarning

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Waiting threads of torch sleep instead of spinning: several times faster where cores are shared, no slower alone."""

app = typer.Typer(
    name="headscarp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _mendable(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, with every error that a user can mend as one line and exit code 2."""

    @functools.wraps(verb)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
        except HeadscarpError as error:
            _fail(f"error: {error}", 2)
        except KeyboardInterrupt:
            again = sys.argv[1:] if "--resume" in sys.argv else [*sys.argv[1:], "--resume"]
            again = [word for word in again if word != "--overwrite"]
            _fail(f"interrupted; what was finished is kept. Go on with: headscarp {' '.join(again)}", 130)

    return guarded


for _verb in (
    demo,
    run,
    fetch,
    build,
    audit,
    train,
    evaluate,
    ablate,
    regions,
    explain,
    compare,
    search,
    predict,
    vectorize,
    score,
    advise,
    next_,
    forecast,
    scenario,
    mining,
    damage,
    planting,
    latent,
    ensemble,
    catalog,
    info,
    datasets,
):
    app.command()(_mendable(_verb))

_domains = typer.Typer(
    name="domains",
    help="Many places with frames, weather and what came after, as one stack: `build`, `show`, `metadata`.",
    no_args_is_help=True,
)
_domains.command()(_mendable(domains_verbs.build))
_domains.command()(_mendable(domains_verbs.show))
_domains.command()(_mendable(domains_verbs.metadata))
app.add_typer(_domains)


@app.callback(invoke_without_command=True)
def headscarp(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was made as one JSON object on stdout.")] = False,
) -> None:
    """From a box on the map to landslide maps that people can act on.

    Begin with `headscarp demo`: it needs no data and takes about three minutes. For your own place, copy a recipe
    from `recipes/`, name your rasters and your inventory in it, and use `headscarp run RECIPE --out FOLDER`; or go
    step by step: `build`, `audit`, `train`, `evaluate`, `predict`. Anything long can be stopped and continued with
    `--resume`.
    """
    if version:
        typer.echo(f"headscarp {__version__}")
        raise typer.Exit
    output.as_json = json
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("headscarp").setLevel(logging.WARNING if quiet else logging.INFO)
    for name in ("rasterio", "pyogrio", "matplotlib", "fiona", "distributed", "numba", "lightning_fabric", "fsspec"):
        logging.getLogger(name).setLevel(logging.ERROR)


def main() -> None:
    """Runs the command line."""
    warnings.showwarning = _show_warning
    app()


def _fail(text: str, code: int) -> NoReturn:
    typer.secho(text, fg="red", err=True)
    raise SystemExit(code)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:  # type: ignore[no-untyped-def]
    if issubclass(category, HeadscarpWarning):
        typer.secho("warning: ", fg="yellow", err=True, nl=False)
        typer.echo(str(message), err=True)
    elif not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
        typer.echo(f"{category.__name__}: {message}", err=True)
