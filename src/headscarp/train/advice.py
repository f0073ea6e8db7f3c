"""Which method to take for the labels at hand, and why: a visible table of rules, and sentences from counted facts.

Pure: it reads no stack and trains nothing. The rules are rules of thumb; what is true of one place is measured by a
ladder of labels (`train.ladder`). Refuses to advise a method that is not there.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from headscarp.tiles.labels import LabelCounts

FEW_LANDSLIDES = 30
"""Below this, methods with few parameters: about ten events for each of a handful of parameters (Peduzzi 1996)."""
FEWEST_BLOCKS = 6
"""Training, validation and test need landslides each, in two blocks or more, or there is no interval."""
NEARLY_ALL = 0.95
"""Share of the valid ground from which on it counts as labelled throughout."""


@dataclass(frozen=True)
class Rule:
    """One row of the table. holds: of which counts. when, why: in words. methods: best first, where they are there.

    steps: what to do next, with {stack}, {first} (the first method), {methods} (all) and {split} filled in.
    """

    name: str
    holds: Callable[[LabelCounts], bool]
    when: str
    methods: tuple[str, ...]
    why: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """What is advised. rule: the name of the row. methods: best first. sentences: for people. commands: to run next."""

    rule: str
    methods: tuple[str, ...]
    sentences: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def text(self) -> str:
        """Sentences, then commands."""
        lines = [*self.sentences, *(["", "Next:"] if self.commands else []), *(f"    {c}" for c in self.commands)]
        return "\n".join(lines)


_ABNORMAL = (
    "headscarp train {stack} --net {first} --out {first}/",
    "headscarp predict {first}/ {stack} --out abnormal.tif",
    "headscarp vectorize abnormal.tif --out inventory.gpkg --threshold 0.95 --min-area-m2 500",
    "headscarp next {first}/ {stack} --out next.gpkg",
)
_COMPARE = "headscarp compare {stack} --nets {methods} --splits {split} --out compare/"
_CURVE = "headscarp advise {stack} --curve --out ladder/"
_LEARN = (
    _COMPARE,
    "headscarp train {stack} --net {first} --out {first}/",
    "headscarp next {first}/ {stack} --out next.gpkg",
    _CURVE,
)
_FEW = (_COMPARE, "headscarp next compare/runs/{split}-0/llr {stack} --out next.gpkg", _CURVE)
_ON_MAPS = ("headscarp predict", "headscarp vectorize", "headscarp next")
"""What needs one place; samples share no ground."""

ADVICE: tuple[Rule, ...] = (
    Rule(
        "no labels",
        lambda c: c.labelled_px == 0,
        "nothing is labelled",
        ("anomaly",),
        "A net that learns what ordinary ground looks like needs no labels; what it cannot rebuild is abnormal. That "
        "is a ranking, not a probability, and other rare things are in it: look at the tiles that it proposes, and "
        "label them. Where fresh slides are bare and you can name a band that shows it (an NDVI, its change, "
        "brightness), take the net spectral on that band instead: it needs no labels either, takes seconds, and was "
        "ahead of anomaly on a simulated county and level with it on real chips. Beside each other, once a few are "
        "labelled: headscarp compare.",
        _ABNORMAL,
    ),
    Rule(
        "landslides only",
        lambda c: c.negative_px == 0,
        "landslides are labelled, but nowhere is it said that there is none",
        ("anomaly",),
        "Nothing sets landslides apart from the rest, and no score can be given. Draw around the ground that was "
        "looked at completely and name it as `complete` under [label]; then supervised methods have both. A net can "
        'also be trained with loss = "nnpu" and a prior, but without known negatives nobody can say how good it is.',
        _ABNORMAL,
    ),
    Rule(
        "no landslide",
        lambda c: c.positive_px == 0,
        "all labels say that there is no landslide",
        ("anomaly",),
        "There is nothing to learn a landslide from. The labelled ground is normal ground, which a net for anomalies "
        "learns from.",
        _ABNORMAL,
    ),
    Rule(
        "too few to judge",
        lambda c: c.landslides < FEWEST_BLOCKS or c.landslide_blocks < FEWEST_BLOCKS,
        f"there are fewer than {FEWEST_BLOCKS} landslides, or they stand in fewer than {FEWEST_BLOCKS} blocks of 1 km",
        ("anomaly",),
        "Training, validation and test need landslides of their own, so any score would be luck. Label some more, in "
        "other places than those, and keep a test part aside.",
        _ABNORMAL,
    ),
    Rule(
        "few landslides",
        lambda c: c.landslides < FEW_LANDSLIDES,
        f"there are fewer than {FEW_LANDSLIDES} landslides",
        ("multiscale_forest", "llr", "threshold"),
        "A net with many parameters would learn these few by heart. A forest on means and deviations at several "
        "scales, and a net with one layer, are trained in minutes and are harder to mislead.",
        _FEW,
    ),
    Rule(
        "part of the ground",
        lambda c: c.labelled_share < NEARLY_ALL,
        "part of the ground is labelled, the rest is not",
        ("deeplab", "unet", "multiscale_forest", "threshold"),
        "Nets learn from the labelled part alone: an unlabelled cell is no negative, in no loss and in no score. The "
        "scores hold for ground like the labelled one; where that was chosen by hand, the rest may differ.",
        _LEARN,
    ),
    Rule(
        "all labelled",
        lambda c: True,
        "the ground is labelled throughout",
        ("deeplab", "unet", "multiscale_forest", "threshold"),
        "With this many landslides a net that sees shapes is usually ahead of one that sees pixels; the forest and the "
        "threshold say by how much.",
        (_COMPARE, "headscarp train {stack} --net {first} --out {first}/", _CURVE),
    ),
)
"""The rules, from top to bottom: the first that holds is taken."""


def advise(
    counts: LabelCounts,
    *,
    methods: Collection[str],
    stack: str = "stack.zarr",
    split: str = "blocks",
    minutes: float = 3.0,
) -> Advice:
    """What to do with the labels that were counted.

    methods: the names that there are; of a rule's methods the others are left out. stack: how commands name the stack.
    split: the kind that commands name; another than "blocks" means samples, of which there is no map. minutes: that
    drawing one landslide takes.
    """
    rule = next(rule for rule in ADVICE if rule.holds(counts))
    chosen = tuple(name for name in rule.methods if name in methods)
    sentences = [facts_in_words(counts, minutes=minutes), *_cautions(counts)]
    if not chosen:
        needed = " or ".join(rule.methods)
        sentences += [f"Rule: {rule.when}. This would need {needed}, which this installation does not have."]
        return Advice(rule.name, (), (*sentences, rule.why), ())
    sentences += [f"Rule: {rule.when}; take {chosen[0]}{_besides(chosen[1:])}.", rule.why]
    words = {"stack": stack, "first": chosen[0], "methods": ",".join(chosen), "split": split}
    steps = [step for step in rule.steps if split == "blocks" or not step.startswith(_ON_MAPS)]
    return Advice(rule.name, chosen, tuple(sentences), tuple(step.format(**words) for step in steps))


def hours_of(landslides: int, minutes: float) -> float:
    """Hours that drawing so many landslides takes."""
    return landslides * minutes / 60


def facts_in_words(counts: LabelCounts, *, minutes: float) -> str:
    """What is labelled, in one sentence."""
    if not counts.labelled_px:
        return f"Nothing is labelled on {_km2(counts.valid_px * counts.cell_m**2 / 1e6)} of valid ground."
    return (
        f"{counts.landslides} landslides (pieces of landslide cells) on {_km2(counts.labelled_km2)} of labelled "
        f"ground, {counts.labelled_share:.1%} of what is valid; {counts.prevalence:.2%} of the labelled cells are "
        f"landslide. {counts.landslide_blocks} of {counts.labelled_blocks} labelled blocks hold one. At {minutes:g} "
        f"minutes each that is {hours_of(counts.landslides, minutes):.1f} hours of work."
    )


def _cautions(counts: LabelCounts) -> list[str]:
    said = []
    if counts.labelled_px and counts.positive_px and counts.prevalence < 0.1 and counts.negative_px:
        said.append(
            f'Always saying "no landslide" is right on {1 - counts.prevalence:.2%} of the cells: read average '
            "precision, F1 and log-skill, not accuracy."
        )
    if 0 < counts.landslide_blocks < counts.labelled_blocks / 10:
        said.append(
            "The landslides stand close together, in less than a tenth of the blocks: a random split would flatter."
        )
    return said


def _km2(area: float) -> str:
    return f"{area:,.0f} km2" if area >= 100 else f"{area:.3g} km2"


def _besides(others: tuple[str, ...]) -> str:
    return f", and beside it {', '.join(others)}" if others else ""
