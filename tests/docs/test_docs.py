"""The documentation holds: its code runs, its links lead somewhere, and what it names is there."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bheadscarp (?=[a-z-])([^`#\n]*)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in FENCED.findall(page.read_text(encoding="utf-8")) if kind == language]


def links(page: Path, *, pictures: bool) -> list[str]:
    found = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return [link for mark, link in found if bool(mark) == pictures and not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.filterwarnings("ignore::headscarp.core.errors.HeadscarpWarning")
def test_the_python_page_runs(tmp_path, monkeypatch):
    """From top to bottom, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    page, namespace = ROOT / "docs" / "python.md", {"__name__": "python_page"}
    for number, code in enumerate(blocks(page, "python"), start=1):
        exec(compile(code, f"{page.name}, block {number}", "exec"), namespace)
    assert (tmp_path / "map.tif").is_file()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in links(page, pictures=False):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), (
                f"{name_of(page)} links to {link}; {path or page.name} has no such heading"
            )


@pytest.mark.parametrize("page", [p for p in PAGES if links(p, pictures=True)], ids=name_of)
def test_pictures_are_there(page):
    for link in links(page, pictures=True):
        assert (page.parent / link).is_file(), f"{name_of(page)} shows {link}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_those_of_the_command_line(page):
    """Every `headscarp VERB --option` that a page mentions is one that the command line takes."""
    from headscarp.cli import app

    root = get_command(app)
    common = {word for parameter in root.params for word in parameter.opts} | {"--help"}
    inner = {name: [verb, *getattr(verb, "commands", {}).values()] for name, verb in root.commands.items()}
    verbs = {name: {w for verb in group for p in verb.params for w in p.opts} for name, group in inner.items()}
    for said in COMMAND.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        words = said.split()
        if words[0].startswith("--"):
            assert words[0] in common, f"{name_of(page)}: headscarp {said}: unknown option {words[0]}"
            continue
        verb = words[0].strip(".,:;)'\"*|")
        assert verb in verbs, f"{name_of(page)}: headscarp {said}: unknown verb {verb!r}"
        for option in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", said):
            assert option in verbs[verb] | common, f"{name_of(page)}: headscarp {said}: {verb} has no {option}"


def test_options_named_alone_exist():
    """`--option` in running text belongs to some verb, or to a program that the pages name."""
    from headscarp.cli import app

    root = get_command(app)
    inner = [verb for group in root.commands.values() for verb in (group, *getattr(group, "commands", {}).values())]
    known = {w for command in (root, *inner) for p in command.params for w in p.opts}
    known |= {"--help", "--peer", "--peers", "--logdir"}
    for page in PAGES:
        for option in re.findall(r"`(--[a-z][a-z0-9-]*)", page.read_text(encoding="utf-8")):
            assert option in known, f"{name_of(page)} names {option}, which no verb has"


def test_recipe_keys_are_all_told_and_all_real():
    from headscarp.assemble import tables as recipe
    from headscarp.assemble.composite import METHODS
    from headscarp.assemble.samples import ChipFiles, ChipsRecipe
    from headscarp.assemble.wanted import SourceRecipe
    from headscarp.train.config import FitConfig

    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    told = {key for row in re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    kinds = [recipe.GridRecipe, recipe.RasterBand, recipe.TerrainBand, recipe.VectorBand, recipe.DistanceBand]
    kinds += [recipe.SpectralBand, recipe.ChangeBand, recipe.SeenBand, ChipsRecipe, ChipFiles]
    kinds += [recipe.CompositeBand, SourceRecipe, recipe.LabelRecipe, FitConfig]
    real = {f.name.rstrip("_") for kind in kinds for f in fields(kind)} - {"options"}
    real |= {*recipe.SPLIT_KEYS, "seed"}
    assert real <= told, f"docs/recipes.md does not tell {', '.join(sorted(real - told))}"
    derived = {*recipe.NEIGHBOUR_TERRAIN, *recipe.RADIUS_TERRAIN, *recipe.WHOLE_TERRAIN}
    assert derived <= told
    assert told <= real | derived | {*METHODS, "net", "nets", "splits", "run_folds"}


def test_recipe_in_the_readme_is_complete():
    from headscarp.assemble.recipe import recipe_from_dict

    (text,) = blocks(ROOT / "README.md", "toml")
    read = recipe_from_dict(tomllib.loads(text))
    assert read.label is not None
    assert {"elevation", "slope"} <= {band.name for band in read.bands}


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "toml")], ids=name_of)
def test_pieces_of_recipes_are_toml_with_known_keys(page):
    from headscarp.assemble.domain_recipe import domains_recipe_from_dict
    from headscarp.assemble.recipe import recipe_from_dict
    from headscarp.train.plan import check_training

    for text in blocks(page, "toml"):
        piece = tomllib.loads(text)
        if "simulate" in piece or "scenarios" in piece:
            domains_recipe_from_dict({"name": "piece", **piece})
            continue
        if "chips" in piece:
            check_training(recipe_from_dict({"name": "piece", **piece}).train)
            continue
        grid, bands = {"like": "dem.tif"}, [{"name": "elevation", "raster": "dem.tif"}]
        others = [band for band in piece.get("band", []) if band["name"] != "elevation"]
        given = [band for band in piece.get("band", []) if band["name"] == "elevation"] or bands
        sources = [{"name": name, "source": "3dep"} for name in dict.fromkeys(re.findall(r'"source:(\w+)', text))]
        whole = {"name": "piece", "grid": grid, "source": sources, **piece, "band": [*given, *others]}
        check_training(recipe_from_dict(whole).train)


def test_nets_page_tells_every_net_and_its_schedule():
    from headscarp.nets import NETS

    page = (ROOT / "docs" / "nets.md").read_text(encoding="utf-8")
    for name, net in NETS.items():
        assert f"| `{name}` |" in page or f"`{name}`," in page
        s = net.schedule
        if s.epochs:
            optimiser = {"adam": "Adam", "sgd": "SGD"}[s.optimiser]
            row = f"| `{name}` | {optimiser} | {s.learning_rate:g} | {s.epochs} | {s.batch_size} | {s.weight_decay:g} |"
            assert row in page, f"docs/nets.md lacks the row {row}"


def test_context_in_the_nets_page_is_that_of_the_nets():
    from headscarp.nets.unet import ALIGN, unet_reach

    assert unet_reach() == 110
    for page in ("nets.md", "evaluation.md"):
        assert str(-(-(unet_reach() + 30) // ALIGN) * ALIGN) in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_metrics_and_calibrations_are_all_told():
    from headscarp.core.calibration import FITS
    from headscarp.evaluation.metrics import METRICS

    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in (*METRICS, *FITS):
        assert f"`{name}`" in page, f"docs/evaluation.md does not tell {name}"


def test_every_benchmark_has_a_row_and_a_place_for_its_figures():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "benchmarks").glob("[!_]*.py")):
        assert f"| `python benchmarks/{path.name}` |" in page, f"docs/benchmarks.md has no row for {path.name}"
        assert f"<!-- figures:{path.stem} -->" in page
        assert f"<!-- /figures:{path.stem} -->" in page


def test_the_contents_name_every_page():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index, pictures=False)}
    missing = [name_of(page) for page in (ROOT / "docs").rglob("*.md") if page not in linked and page != index]
    assert not missing, f"docs/index.md does not name {', '.join(missing)}"
