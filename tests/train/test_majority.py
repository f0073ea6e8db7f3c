"""A comparison says what the majority class alone gets right, so that accuracy is read beside it."""

from headscarp.train.compare import compare

OPTIONS = {"block_size_m": 480.0, "buffer_m": 60.0, "seed": 1}


def test_accuracy_stands_beside_that_of_the_majority_class(tiny_world, tmp_path):
    found = compare(tiny_world, ["prevalence"], out=tmp_path / "c", splits=("blocks",), split_options=OPTIONS)
    by = {r.metric: r.value for r in found.rows if r.part == "test"}
    (said,) = [s for s in found.sentences if "majority class" in s]
    assert f"{1 - by['prevalence']:.4f} of the pixels" in said
    assert f"prevalence {by['accuracy']:.4f}" in said
