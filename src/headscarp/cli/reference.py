"""Writes docs/cli.md from the commands' own help, so that the two cannot drift apart.

python -m headscarp.cli.reference docs/cli.md
"""

import sys

from typer.main import get_command

from headscarp.cli import app
from headscarp.core.artefact import write_text

INTRODUCTION = """# Command line

Generated from `headscarp --help`; do not edit. Anew with `make docs`.

Exit codes: 0 done, 1 a leak found by `audit` (or a bug, with its traceback), 2 something the user can mend, 130
interrupted. `--json` before the verb prints what was made as one JSON object; `--quiet` leaves warnings and errors.
"""


def reference() -> str:
    """The whole reference as Markdown: each verb with its help, arguments and options."""
    return "\n".join([INTRODUCTION, *_verbs("", get_command(app).commands)])  # type: ignore[attr-defined]


def _verbs(before: str, commands) -> list[str]:  # type: ignore[no-untyped-def]
    """Each verb; a group of verbs as its verbs, each under the name of both."""
    pages = []
    for name, command in commands.items():
        group = getattr(command, "commands", None)
        pages += _verbs(f"{before}{name} ", group) if group else [_verb(f"{before}{name}", command)]
    return pages


def _verb(name: str, command) -> str:  # type: ignore[no-untyped-def]
    lines = [f"## headscarp {name}", "", _text(command.help), ""]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        option = parameter.param_type_name == "option"
        given = " ".join(parameter.opts) if option else parameter.metavar or parameter.name.upper()
        default = f" Default: `{parameter.default}`." if _worth_telling(parameter.default) else ""
        needed = " Required." if parameter.required else ""
        lines.append(f"- `{given}` {parameter.help or ''}{needed}{default}")
    return "\n".join([*lines, ""])


def _text(help_text: str) -> str:
    return "\n".join(line.rstrip() for line in (help_text or "").strip().splitlines())


def _worth_telling(default: object) -> bool:
    return default not in (None, False, "", ())


if __name__ == "__main__":
    write_text(sys.argv[1], reference())
