"""How long steps show how far they are: on the standard error, and only where that is a terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")


def tracked(items: Sequence[T], label: str, *, transient: bool = False) -> Iterable[T]:
    """The items, with a bar of how many are done, which goes away at the end if it is transient."""
    from rich.console import Console
    from rich.progress import track

    screen = Console(stderr=True)
    return track(items, label, console=screen, transient=transient, disable=not screen.is_terminal)


def counted(step: str, what: str) -> "Progress":
    """A bar with a count and the times gone and left.

    It is drawn where it is told to refresh: a thread that does so would write into the standard error while native
    libraries have it held back (`dubbench.face.landmarks`).

    Args:
        step: what is going on.
        what: is counted; ``{task.fields[name]}`` stands for a field of the task.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn(step), BarColumn(), MofNCompleteColumn(), TextColumn(what))
    return _bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), auto_refresh=False)


@contextmanager
def downloading(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar of bytes; gives what is told how many are here, and of how many if that is known."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with _bars(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(name, total=None)
        yield lambda here, total: progress.update(task, completed=here, total=total)


def _bars(*columns: "ProgressColumn", auto_refresh: bool = True) -> "Progress":
    from rich.console import Console
    from rich.progress import Progress

    screen = Console(stderr=True)
    return Progress(*columns, console=screen, auto_refresh=auto_refresh, disable=not screen.is_terminal)
