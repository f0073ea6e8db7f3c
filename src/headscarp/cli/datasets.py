"""headscarp datasets: which public data sets, sources and services are known, and what of them is on this machine."""

from typing import Any

from headscarp.cli import output
from headscarp.cli.output import say, tell


def datasets() -> None:
    """List the public data sets that recipes can name as `dataset:NAME/FILE`, the sources and the live services.

    Of each: where it comes from, its licence and its citation. Files are looked for in the folder that the environment
    variable HEADSCARP_DATA names, then in the cache, then at their public address; checksums are verified when a file
    is used. Nothing is fetched by this command.
    """
    sets, sources, services = _sets(), _sources(), _services()
    if output.as_json:
        tell(datasets=sets, sources=sources, services=services)
        return
    for title, entries in (("Data sets", sets), ("Sources", sources), ("Services", services)):
        if entries:
            say(f"{title}\n")
        for name, facts in entries.items():
            say(name)
            for key, value in facts.items():
                if value:
                    say(f"  {key:<9} {', '.join(value) if isinstance(value, list) else value}")
            say("")


def _sets() -> dict[str, dict[str, Any]]:
    from headscarp.sources.datasets import DATASETS, where_is

    return {
        name: {
            "files": list(dataset.files),
            "here": _here(where_is(name)),
            "address": dataset.address,
            "licence": dataset.licence,
            "cite": dataset.citation,
            "note": dataset.note,
        }
        for name, dataset in DATASETS.items()
    }


def _here(places: dict[str, Any]) -> str:
    """How much of a data set is on this machine, in words."""
    found = sum(path is not None for path in places.values())
    if found == len(places):
        return "all files"
    return f"{found} of {len(places)} files" if found else "no file; set HEADSCARP_DATA to a folder that has them"


def _sources() -> dict[str, dict[str, Any]]:
    from headscarp.sources.registry import SOURCES

    return {
        name: {
            "about": source.about,
            "makes": source.makes,
            "services": list(source.services),
            "options": list(source.options),
        }
        for name, source in SOURCES.items()
    }


def _services() -> dict[str, dict[str, Any]]:
    from headscarp.sources.web.services import SERVICES

    return {
        name: {
            "about": service.about,
            "address": service.address,
            "licence": service.licence,
            "cite": service.citation,
        }
        for name, service in SERVICES.items()
    }
