"""What all tests share: threads that wait do not spin, so that tests are as quick on a busy machine.

And the services on 127.0.0.1 (tests/services), for tests of any room: `from services.files import FileServer`.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parent))

from services.fixtures import pgstac_service, service_state, services  # noqa: F401
