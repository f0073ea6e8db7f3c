"""Pixels that can be scored: flat probabilities in [0, 1], labels 1, 0, 255. Refuses others and says how many."""

import numpy as np

from headscarp.core.errors import StackError
from headscarp.evaluation import _kernels as k


def checked_pixels(probability: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat float32 probabilities and uint8 labels of pixels that can be scored; raises StackError on others."""
    flat, codes = flat_pixels(probability, label)
    if k.count_bad(flat, codes):
        raise bad_pixels(flat, codes)
    return flat, codes


def flat_pixels(probability: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, values of probabilities and of uint8 labels not looked at yet. Raises StackError on unequal shapes."""
    probability, label = np.asarray(probability), np.asarray(label)
    if probability.shape != label.shape:
        raise StackError(
            f"probabilities have shape {probability.shape} and labels {label.shape}; give one label per probability"
        )
    with np.errstate(over="ignore"):
        flat = np.ascontiguousarray(probability, dtype=np.float32).reshape(-1)
    if label.dtype not in (np.bool_, np.uint8) and not np.isin(label, (0, 1, k.UNLABELLED)).all():
        raise StackError("labels have values other than 0, 1 and 255; recode them, 255 where nothing is known")
    return flat, np.ascontiguousarray(label, dtype=np.uint8).reshape(-1)


def bad_pixels(probability: np.ndarray, label: np.ndarray) -> StackError:
    """The error that says how many pixels cannot be scored, and what to do."""
    return StackError(
        f"{int(k.count_bad(probability, label))} of {probability.size} pixels have a label but a probability that is "
        "NaN or outside [0, 1], or a label other than 0, 1 and 255; label pixels 255 where the map has no data"
    )
