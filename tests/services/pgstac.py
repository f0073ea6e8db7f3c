"""A real STAC API on 127.0.0.1: stac-fastapi-pgstac on PostgreSQL with PostGIS, in a database of its own.

Debian's packages bring the servers of the database, a virtual environment of its own (HEADSCARP_SERVICES_VENV) the API;
`missing` says which is not there. PostgreSQL refuses to run as root, so root hands it to the user postgres.
"""

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.processes import free_port, start_process, stop_process, wait_for

PACKAGES = ("postgresql", "postgresql-15-postgis-3")
REQUIREMENTS = ("stac-fastapi.pgstac[server]==7.2.*", "pypgstac[psycopg]==0.10.*")

_ROOT = Path(__file__).resolve().parents[2]
_PASSWORD = "headscarp"


def venv_folder() -> Path:
    """Where the services' own virtual environment is, or will be."""
    return Path(os.environ.get("HEADSCARP_SERVICES_VENV", _ROOT / ".venv-services"))


def missing() -> str | None:
    """Why this service cannot be started here; None where it can."""
    if _postgres_bin() is None:
        return f"PostgreSQL with PostGIS is not installed (Debian: {' '.join(PACKAGES)})"
    if not all((venv_folder() / "bin" / name).exists() for name in ("pypgstac", "uvicorn")):
        return f"stac-fastapi-pgstac is not installed in {venv_folder()} (python tests/services/run.py install)"
    if os.geteuid() == 0 and not _known_user("postgres"):
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def install() -> None:
    """Installs the Debian packages where root and missing, and the virtual environment where it lacks something."""
    if _postgres_bin() is None and os.geteuid() == 0:
        for words in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *PACKAGES]):
            subprocess.run(words, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    folder = venv_folder()
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS], check=True)


def start(folder: Path) -> dict[str, Any]:
    """Starts database and API. Returns the API's address, the database's settings and what `stop` needs."""
    # Not below `folder`: the user postgres must be able to reach its data.
    data = Path(tempfile.mkdtemp(prefix="headscarp-postgres-"))
    try:
        settings = _start_postgres(data)
        _pypgstac(settings, "migrate")
        port, log = free_port(), folder / "pgstac.log"
        words = [str(venv_folder() / "bin" / "uvicorn"), "stac_fastapi.pgstac.app:create_app", "--factory"]
        pid = start_process([*words, "--host", "127.0.0.1", "--port", str(port)], env=settings, log=log)
        wait_for(("127.0.0.1", port), pid, log=log)
    except BaseException:
        _stop_postgres(data)
        raise
    return {"address": f"http://127.0.0.1:{port}", "settings": settings, "data": str(data), "pid": pid}


def stop(state: Mapping[str, Any]) -> None:
    """Ends API and database and removes its data."""
    stop_process(state["pid"])
    _stop_postgres(Path(state["data"]))


def load(
    state: Mapping[str, Any], collections: Iterable[Mapping[str, Any]], items: Iterable[Mapping[str, Any]]
) -> None:
    """Puts collections and items into a running service; those that are there already are replaced."""
    for kind, things in (("collections", collections), ("items", items)):
        lines = "\n".join(json.dumps(thing) for thing in things)
        if not lines:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{kind}.ndjson"
            path.write_text(lines + "\n")
            _pypgstac(state["settings"], "load", kind, str(path), "--method", "upsert")


def _pypgstac(settings: Mapping[str, str], *words: str) -> None:
    command = [str(venv_folder() / "bin" / "pypgstac"), *words]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")


def _start_postgres(data: Path) -> dict[str, str]:
    password = data / "password"
    password.write_text(_PASSWORD)
    if os.geteuid() == 0:
        for path in (data, password):
            shutil.chown(path, "postgres", "postgres")
    cluster, port = data / "cluster", free_port()
    login = ["--username=headscarp", "--auth=scram-sha-256", f"--pwfile={password}"]
    _postgres("initdb", "-D", str(cluster), "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", *login)
    # Nothing here outlives a test: no need to be safe from power cuts.
    unsafe = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    options = f"-h 127.0.0.1 -p {port} -k {data} {unsafe}"
    _postgres("pg_ctl", "-D", str(cluster), "-w", "-l", str(data / "log"), "-o", options, "start")
    settings = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": "headscarp",
        "PGPASSWORD": _PASSWORD,
        "PGDATABASE": "headscarp",
    }
    words = [str(_postgres_bin() / "createdb"), "headscarp"]  # type: ignore[operator]
    subprocess.run(words, check=True, env={**os.environ, **settings, "PGDATABASE": "postgres"})
    return settings


def _stop_postgres(data: Path) -> None:
    if (data / "cluster" / "postmaster.pid").exists():
        with contextlib.suppress(RuntimeError):
            _postgres("pg_ctl", "-D", str(data / "cluster"), "-m", "immediate", "stop")
    shutil.rmtree(data, ignore_errors=True)


def _postgres(program: str, *words: str) -> None:
    """Runs a program of PostgreSQL, as the user postgres where we are root."""
    folder = _postgres_bin()
    before: Sequence[str] = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    # pg_ctl leaves the server with our pipes: files, not pipes, or we would wait for it for ever.
    with tempfile.TemporaryFile() as out:
        command = [*before, str(folder / program), *words]  # type: ignore[operator]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", check=False)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{program} failed: {said[-2000:]}")


def _postgres_bin() -> Path | None:
    """The newest PostgreSQL that has PostGIS, where Debian puts it."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True):
        extension = Path("/usr/share/postgresql") / folder.parent.name / "extension" / "postgis.control"
        if (folder / "initdb").exists() and extension.exists():
            return folder
    return None


def _known_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
