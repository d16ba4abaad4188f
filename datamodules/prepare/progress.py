"""How the long steps of ``dubbench prepare`` show how they go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dubbench.core.progress import counted

if TYPE_CHECKING:
    from rich.progress import Progress


class PrepareProgress:
    """Clips and frames done, and clips failed, on stderr."""

    def __init__(self, progress: "Progress", total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, frames=0, failed=0)
        self._frames = self._failed = 0

    def tell(self, frames: int) -> None:
        """Count frames that are done."""
        self._frames += frames
        self._progress.update(self._task, frames=self._frames, refresh=True)

    def fail(self, clip: str, reason: str) -> None:
        """Count a clip that could not be done, and say why."""
        self._failed += 1
        self._progress.console.print(f"{clip}: {reason}", style="red", markup=False, soft_wrap=True)

    def remark(self, clip: str, sentences: Sequence[str]) -> None:
        """Say what was wrong with a clip that could be done all the same."""
        for sentence in sentences:
            self._progress.console.print(f"{clip}: {sentence}", style="yellow", markup=False, soft_wrap=True)

    def advance(self) -> None:
        """Count a clip, done or not."""
        self._progress.update(self._task, advance=1, failed=self._failed, refresh=True)


@contextmanager
def shown(step: str, total: int) -> Iterator[PrepareProgress]:
    """Show a step over ``total`` clips."""
    with counted(step, "clips, {task.fields[frames]} frames, {task.fields[failed]} failed") as progress:
        yield PrepareProgress(progress, total)
