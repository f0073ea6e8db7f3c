"""Fixtures over the services: started once for all tests that ask, stopped at the end; without them, a skip.

HEADSCARP_SERVICES may name a folder where `run.py start` has put services.json: then those are used and left running.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services import run


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The states of all services by name, as run.start returns them."""
    if "HEADSCARP_SERVICES" in os.environ:
        yield json.loads((Path(os.environ["HEADSCARP_SERVICES"]) / run.STATE).read_text())
        return
    folder = tmp_path_factory.mktemp("services")
    states = run.start(folder)
    yield states
    run.stop(folder)


@pytest.fixture(scope="session")
def service_state(services: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    """The state of one service by its name; skips the test, with the reason, where it does not run."""

    def state(name: str) -> dict[str, Any]:
        found = services.get(name, {"missing": "no such module in tests/services"})
        if "missing" in found:
            pytest.skip(f"service {name} does not run: {found['missing']}")
        return dict(found)

    return state


@pytest.fixture(scope="session")
def pgstac_service(service_state: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The STAC API: its `address`, and what services.pgstac.load needs."""
    return service_state("pgstac")
