"""What all tests share: threads that wait do not spin, so that tests are as quick on a busy machine.

A fixture for tests of small nets, and the services on 127.0.0.1 (tests/services), for tests of any room: `from
services.files import FileServer`.
"""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parent))

from services.fixtures import pgstac_service, service_state, services  # noqa: F401


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors gain nothing from a second thread of torch, and lose much where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
