"""A real OGC API Features service on 127.0.0.1: pygeoapi, over layers that tests give or an example of slides.

It comes from a virtual environment of its own (HEADSCARP_SERVICES_VENV); `missing` says when it is not there. Layers
are served from GeoJSON, for which pygeoapi needs no database.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from services.processes import free_port, start_process, stop_process, wait_for

REQUIREMENTS = ("pygeoapi==0.21.*",)
LARGEST_PAGE = 1000

_ROOT = Path(__file__).resolve().parents[2]


def venv_folder() -> Path:
    """Where the services' own virtual environment is, or will be."""
    return Path(os.environ.get("HEADSCARP_SERVICES_VENV", _ROOT / ".venv-services"))


def missing() -> str | None:
    """Why this service cannot be started here; None where it can."""
    if not all((venv_folder() / "bin" / name).exists() for name in ("pygeoapi", "uvicorn")):
        return f"pygeoapi is not installed in {venv_folder()} (python tests/services/run.py install)"
    return None


def install() -> None:
    """Puts pygeoapi into the services' virtual environment."""
    if not (venv_folder() / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv_folder())], check=True)
    words = [str(venv_folder() / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS, "uvicorn"]
    subprocess.run(words, check=True)


def start(folder: Path, **holdings: Any) -> dict[str, Any]:
    """Serves layers as collections of the names given; what tests need: address, collections.

    holdings: paths of vector files, or tables with shapes; without any the example `slides`.
    """
    home = Path(folder) / "features"
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    layers = {
        name: _as_geojson(held, home / f"{name}.geojson") for name, held in (holdings or {"slides": slides()}).items()
    }
    config = home / "pygeoapi.yml"
    config.write_text(json.dumps(_config(port, layers)))  # which is YAML too
    env = {"PYGEOAPI_CONFIG": str(config), "PYGEOAPI_OPENAPI": str(home / "openapi.yml")}
    words = [str(venv_folder() / "bin" / "pygeoapi"), "openapi", "generate", str(config)]
    made = subprocess.run(
        [*words, "--output-file", env["PYGEOAPI_OPENAPI"]], env={**os.environ, **env}, capture_output=True
    )
    if made.returncode:
        raise RuntimeError(made.stderr.decode()[-2000:])
    log = home / "log.txt"
    words = [str(venv_folder() / "bin" / "uvicorn"), "pygeoapi.starlette_app:APP", "--host", "127.0.0.1"]
    pid = start_process([*words, "--port", str(port)], env=env, log=log)
    wait_for(("127.0.0.1", port), pid, log=log)
    return {"address": f"http://127.0.0.1:{port}", "collections": list(layers), "pid": pid}


def stop(state: dict[str, Any]) -> None:
    """Ends the process that `start` started."""
    stop_process(state["pid"])


def slides(count: int = 2500) -> gpd.GeoDataFrame:
    """An example: slides in a box of 40 x 30 km at 38 degrees north, each with a name, a kind of rock and a year."""
    rng = np.random.default_rng(0)
    places = shapely.points(rng.uniform(560_000, 600_000, count), rng.uniform(4_180_000, 4_210_000, count))
    return gpd.GeoDataFrame(
        {
            "name": [f"slide {i}" for i in range(count)],
            "rock": rng.choice(["granite", "chalk", "clay"], count),
            "year": rng.integers(1990, 2024, count),
        },
        geometry=shapely.buffer(places, rng.uniform(10, 90, count), quad_segs=2),
        crs="EPSG:32610",
    )


def _as_geojson(held: Any, path: Path) -> Path:
    table = held if isinstance(held, gpd.GeoDataFrame) else pyogrio.read_dataframe(held)
    table = table.to_crs("OGC:CRS84").assign(id=[str(i) for i in range(len(table))])
    path.unlink(missing_ok=True)
    pyogrio.write_dataframe(table, path, driver="GeoJSON", COORDINATE_PRECISION=12, ID_FIELD="id")
    return path


def _config(port: int, layers: dict[str, Path]) -> dict[str, Any]:
    about = {"title": "test", "description": "test", "keywords": ["test"]}
    contact = {"name": "test", "url": "http://127.0.0.1"}
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": port},
            "url": f"http://127.0.0.1:{port}",
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 10, "max_items": LARGEST_PAGE, "on_exceed": "throttle"},
            "map": {"url": "http://127.0.0.1/{z}/{x}/{y}.png", "attribution": "none"},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {**about, "keywords_type": "theme", "terms_of_service": "none", "url": "http://127.0.0.1"},
            "license": {"name": "none", "url": "http://127.0.0.1"},
            "provider": contact,
            "contact": contact,
        },
        "resources": {
            name: {
                "type": "collection",
                **about,
                "links": [],
                "extents": {"spatial": {"bbox": [-180, -90, 180, 90], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}},
                "providers": [{"type": "feature", "name": "GeoJSON", "data": str(path), "id_field": "id"}],
            }
            for name, path in layers.items()
        },
    }  # fmt: skip
