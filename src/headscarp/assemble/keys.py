"""Tables of plain values into frozen dataclasses, and back: every key known, every value of its type.

Knows nothing of recipes. Refuses unknown keys, missing keys and values of another type, each with what would do.
"""

import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from headscarp.core.errors import RecipeError


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises RecipeError."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"the recipe {path} cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error


def make(cls: type, table: Any, where: str) -> Any:
    """An instance of a dataclass from a table; a trailing _ of a field's name is not part of its key.

    Raises RecipeError.
    """
    table = as_table(table, where)
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    for key in table:
        if key not in known:
            nearest(str(key), [name.rstrip("_") for name in known], "key", where)
    values = {}
    for f in fields(cls):
        if f.name in table:
            values[f.name] = _typed(table[f.name], hints[f.name], f"{where} {f.name.rstrip('_')}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise RecipeError(f"{where} lacks the key {f.name.rstrip('_')!r}; add it")
    return cls(**values)


def as_table(value: Any, where: str, kind: type = dict) -> Any:
    """The value, when it is a table (or, with kind=list, an array of tables). Raises RecipeError."""
    if value is None:
        raise RecipeError(f"{where} is missing; add that section")
    if not isinstance(value, Mapping if kind is dict else list):
        raise RecipeError(f"{where} is {value!r}; it has to be {'a table' if kind is dict else 'an array of tables'}")
    return value


def nearest(given: str, known: Iterable[str], what: str, where: str) -> str:
    """The given word, when it is known. Raises RecipeError that names the nearest known one."""
    known = tuple(known)
    if given in known:
        return given
    close = get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
    raise RecipeError(f"{where} has the unknown {what} {given!r}; {hint}")


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries (a trailing _ dropped from names), tuples as lists, paths and days as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path | date) else value


def _typed(value: Any, hint: Any, where: str) -> Any:
    """The value in the type that the annotation names: whole numbers pass as decimals, arrays become tuples."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        kind = typing.get_origin(option) or option
        if value is None and kind is types.NoneType:
            return None
        if kind is Any or (is_dataclass(kind) and isinstance(value, typing.cast(type, kind))):
            return value
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if kind in (str, bool, Path) and isinstance(value, kind):
            return value
        if kind is tuple and isinstance(value, list | tuple):
            item = typing.get_args(option)[0]
            return tuple(_typed(v, item, where) for v in value)
        if kind is Mapping and isinstance(value, Mapping):
            item = typing.get_args(option)[1]
            return {str(k): _typed(v, item, where) for k, v in value.items()}
        if kind is Mapping and isinstance(value, list) and typing.get_args(option)[1] is str:
            return {str(v): str(v) for v in value}
    names = " or ".join(_type_name(option) for option in options if option is not types.NoneType)
    raise RecipeError(f"{where} is {value!r}; it has to be {names}")


def _type_name(option: Any) -> str:
    kind = typing.get_origin(option) or option
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false", tuple: "an array"}
    return words.get(kind, "a table")
