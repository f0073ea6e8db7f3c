"""What all tests share: threads that wait do not spin, so that tests are as quick on a busy machine."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
