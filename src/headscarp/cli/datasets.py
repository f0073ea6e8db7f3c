"""headscarp datasets: which public data sets are known, and where they come from."""

from headscarp.cli import output
from headscarp.cli.output import say, tell


def datasets() -> None:
    """List the public data sets that recipes can name as `dataset:NAME/FILE`, with licence and citation.

    Files are looked for in the folder that the environment variable HEADSCARP_DATA names, then in the cache, then at
    their public address; checksums are verified.
    """
    from headscarp.sources.datasets import DATASETS

    if output.as_json:
        tell(
            **{
                name: {"files": list(d.files), "licence": d.licence, "citation": d.citation}
                for name, d in DATASETS.items()
            }
        )
        return
    for name, dataset in DATASETS.items():
        say(f"{name}")
        say(f"  files     {', '.join(dataset.files)}")
        say(f"  address   {dataset.address}")
        say(f"  licence   {dataset.licence}")
        say(f"  cite      {dataset.citation}")
        say(f"  note      {dataset.note}\n")
