"""The verb `evaluate` and the room of that name do not get in each other's way, whichever is imported first."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", ["", "import headscarp.evaluation.metrics; "])
def test_the_name_can_be_called_and_entered(first):
    code = first + (
        "import headscarp; from headscarp import evaluate; assert callable(evaluate); "
        "from headscarp import evaluate as again; assert callable(again); "
        "from headscarp.evaluation.metrics import METRICS; assert 'nll' in METRICS"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
