"""Laws of looking alike: what noise and stretching leave, what other pictures do not have, and pairs across parts."""

import numpy as np

from headscarp.assemble.lookalikes import NEAR_BITS, Look, find_twins, perceptual_hash


def picture(seed: int, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side] / side
    waves = sum(
        rng.normal() * np.sin(2 * np.pi * (a * rows + b * cols) + rng.uniform(0, 6)) for a in range(5) for b in range(5)
    )
    return np.stack([128 + 20 * waves + 3 * rng.normal(size=rows.shape) for _ in range(3)]).astype(np.float32)


def bits_apart(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_stretching_changes_nothing_and_noise_little():
    rng = np.random.default_rng(0)
    for seed in range(20):
        one = picture(seed)
        assert perceptual_hash(2 * one + 30) == perceptual_hash(one)
        noisy = one + rng.normal(scale=1.0, size=one.shape).astype(np.float32)
        assert bits_apart(perceptual_hash(noisy), perceptual_hash(one)) <= NEAR_BITS


def test_other_pictures_are_far():
    hashes = [perceptual_hash(picture(seed)) for seed in range(40)]
    apart = [bits_apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 2 * NEAR_BITS


def test_what_shows_nothing_has_no_hash():
    assert perceptual_hash(np.full((3, 20, 20), 7, np.float32)) == ""
    assert perceptual_hash(np.full((3, 20, 20), np.nan, np.float32)) == ""
    assert perceptual_hash(np.random.default_rng(0).normal(size=(1, 5, 7)).astype(np.float32)) != ""


def test_pairs_are_those_of_a_search_through_all():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2, (60, 128))
    hashes = []
    for row in np.concatenate([base, base]):
        flipped = row.copy()
        flipped[rng.choice(128, rng.integers(0, 12), replace=False)] ^= 1
        hashes.append(np.packbits(flipped.astype(np.uint8)).tobytes().hex())
    looks = [Look(f"{i}", near) for i, near in enumerate(hashes)]
    parts = list(rng.choice(["train", "test", ""], len(looks)))
    wanted = {
        (i, j)
        for j in range(len(looks))
        for i in range(j)
        if parts[i] and parts[j] and parts[i] != parts[j] and bits_apart(hashes[i], hashes[j]) <= NEAR_BITS
    }
    assert {(t.first, t.second) for t in find_twins(looks, parts)} == wanted
    assert wanted


def test_the_same_pixels_are_exact_and_within_a_part_no_matter():
    looks = [Look("a", ""), Look("a", ""), Look("b", ""), Look("", "")]
    (twin,) = find_twins(looks, ["train", "test", "test", "train"])
    assert (twin.first, twin.second, twin.exact) == (0, 1, True)
    assert find_twins(looks, ["train"] * 4) == []
