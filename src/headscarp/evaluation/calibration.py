"""Moved to headscarp.core.calibration."""

from headscarp.core.calibration import *  # noqa: F403
