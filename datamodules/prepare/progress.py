"""How the long steps of ``dubbench prepare`` show how they go."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Shown:
    """Clips and frames done, and clips failed, on stderr."""

    def __init__(self, progress: Progress, total: int) -> None:
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

    def advance(self) -> None:
        """Count a clip, done or not."""
        self._progress.update(self._task, advance=1, failed=self._failed, refresh=True)


@contextmanager
def shown(step: str, total: int) -> Iterator[Shown]:
    """Show a step over ``total`` clips."""
    columns = (
        TextColumn(step),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips, {task.fields[frames]} frames, {task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Refreshed by hand: a refreshing thread would write into stderr while native libraries have it held back.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        yield Shown(progress, total)
