"""What `prepare`'s steps say of clips that came to nothing: clips, geometry and quality alike."""

import traceback
from dataclasses import dataclass
from pathlib import Path

from dubbench.errors import DubbenchError


@dataclass(frozen=True)
class ClipFailure:
    """A clip for which a step made nothing, and why."""

    clip: str
    reason: str


def surprise(error: Exception) -> str:
    """The reason that an error gives which nobody foresaw: its place in the code, too."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"


def in_one_line(reason: str, root: Path) -> str:
    """A reason as tables have it: without line ends, and without where the folder lies on this machine."""
    return " ".join(reason.split()).replace(f"{root}/", "")


def full(folder: Path, reason: str, kept: str) -> DubbenchError:
    """The error of a run that can write nothing more; ``kept`` are the clips that it need not make again."""
    return DubbenchError(
        f"no room left to write {folder} ({reason}); make room and run the same command again, {kept} clips are kept"
    )
