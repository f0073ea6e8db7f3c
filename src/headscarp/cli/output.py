"""How commands tell what they made: sentences for people, or one JSON object with --json."""

from typing import Any

import typer

as_json = False


def tell(**facts: Any) -> None:
    """Prints facts one a line, or all as one JSON object."""
    if as_json:
        import json

        typer.echo(json.dumps(facts, default=str))
        return
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        typer.echo(f"{key.replace('_', ' '):<{width}}  {value}")


def say(text: str) -> None:
    """Prints something for people only; silent with --json."""
    if not as_json:
        typer.echo(text)
