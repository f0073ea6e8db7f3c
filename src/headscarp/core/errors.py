"""The one small tree of errors that Headscarp raises on purpose.

Every message says what was given, what was needed and what to do. The command line turns any
HeadscarpError into exit code 2 and one clear line; everything else is a bug and keeps its traceback.
"""


class HeadscarpError(Exception):
    """Anything a user can mend: input, configuration or the machine (disk full, no network)."""


class GridError(HeadscarpError):
    """A coordinate system, resolution or extent that does not fit the work."""


class StackError(HeadscarpError):
    """A stack that breaks the contract, cannot be read, or does not fit a bundle."""


class RecipeError(HeadscarpError):
    """A recipe or option that is unknown, missing or out of range."""


class SourceError(HeadscarpError):
    """An input file or service that is missing, corrupt or has no overlap with the grid."""


class OffGridError(SourceError):
    """A raster without overlap with the grid, where that may be no mistake: one scene of many."""


class BundleError(HeadscarpError):
    """A bundle that is newer, tampered with or incomplete."""


class OutputError(HeadscarpError):
    """A result that cannot be written: it exists already, the disk is full, the folder is missing."""


class JournalError(HeadscarpError):
    """A journal of finished blocks that belongs to another job."""


class SplitError(HeadscarpError):
    """A split that cannot be made or does not fit the stack: no positive label, too few blocks."""


class TrainingError(HeadscarpError):
    """Training that cannot start or go on: nothing to learn from, or the loss is not finite."""


class DeviceError(HeadscarpError):
    """A machine or an accelerator with too little memory for the smallest piece of work."""


class HeadscarpWarning(UserWarning):
    """Something the user should look at, though the work goes on; the text names value and share."""
