"""Starts and stops the services that tests talk to on 127.0.0.1, and installs what they need.

    python tests/services/run.py install
    python tests/services/run.py start FOLDER     # writes FOLDER/services.json: what runs where, and why others do not
    python tests/services/run.py stop FOLDER

Each service is a module beside this one, listed in SERVICES, with
    missing() -> str | None      why it cannot be started here, None where it can
    start(folder) -> dict        starts it; what JSON holds: `address`, and whatever stop and tests need
    stop(state) -> None          ends what that dict describes
    install() -> None            optional
and a module that is not there is passed over. Services start in the order of the list; one that fails leaves the
others running and says why. Contacts nothing but package registries, and these only in `install`.
"""

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SERVICES = ("files", "pgstac", "features", "arcgis", "faults")
STATE = "services.json"


def install() -> None:
    """Installs what the services need."""
    for _, module in _modules():
        if hasattr(module, "install"):
            module.install()


def start(folder: Path) -> dict[str, Any]:
    """Starts every service that can be. Returns for each its state, or {"missing": why}; the same is in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    states: dict[str, Any] = {}
    for name, module in _modules():
        why = module.missing()
        if why is None:
            try:
                states[name] = module.start(folder)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
        if why is not None:
            states[name] = {"missing": why}
        (folder / STATE).write_text(json.dumps(states, indent=1))
    return states


def stop(folder: Path) -> None:
    """Ends the services that `start` started with this folder, last first."""
    states = json.loads((folder / STATE).read_text())
    for name, module in reversed(list(_modules())):
        if "missing" not in states.get(name, {"missing": ""}):
            module.stop(states[name])
    (folder / STATE).unlink()


def _modules() -> Iterator[tuple[str, ModuleType]]:
    for name in SERVICES:
        if importlib.util.find_spec(f"services.{name}") is not None:
            module = importlib.import_module(f"services.{name}")
            if hasattr(module, "start") and hasattr(module, "missing"):
                yield name, module


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("install", "start", "stop"))
    parser.add_argument("folder", nargs="?", type=Path, help="where services.json is (start, stop)")
    chosen = parser.parse_args()
    if chosen.job == "install":
        install()
    elif chosen.folder is None:
        parser.error(f"{chosen.job} needs a folder")
    elif chosen.job == "start":
        sys.stdout.write(json.dumps(start(chosen.folder), indent=1) + "\n")
    else:
        stop(chosen.folder)
