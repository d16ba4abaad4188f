"""How long steps show how far they are, on the standard error: bars on a terminal, elsewhere a line now and then."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from math import inf
from typing import TypeVar

from rich.progress import (
    BarColumn,
    DownloadColumn,
    GetTimeCallable,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from dubbench.core.console import console, quiet
from dubbench.core.printable import visible

T = TypeVar("T")
Listener = Callable[[float, float | None], None]

# Seconds. The window of the estimates holds several clips of a minute each, and forgets those that were kept.
EVERY, REDRAWN, ESTIMATED_OVER = 30.0, 0.1, 600.0
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let whoever runs a verb as a step hear how far it is.

    Args:
        listener: gets how many are done and of how many (None if unknown), at most ten times a second.
    """
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


class _Left(ProgressColumn):
    """The time left."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds = _left(task)
        return Text("-:--:--" if seconds is None else clock(seconds), style="progress.remaining")


class Steps(Progress):
    """Bars where a terminal is, drawn when told to refresh; elsewhere a line at most every 30 seconds."""

    def __init__(
        self,
        *columns: ProgressColumn,
        line: Callable[[Task], str],
        auto_refresh: bool = False,
        transient: bool = False,
        get_time: GetTimeCallable | None = None,
    ) -> None:
        """Show steps; nothing where a verb is quiet.

        Args:
            columns: of the bars.
            line: what is said of a task where no terminal is.
            auto_refresh: draw again ten times a second, in a thread.
            transient: the bars go away at the end.
            get_time: gives seconds.
        """
        screen = console(stderr=True)
        self._lines = not screen.is_terminal and not quiet()
        self._line = line
        self._told: dict[TaskID, float] = {}
        self._drawn = -REDRAWN
        self._listener = _LISTENER.get()
        super().__init__(
            *columns,
            console=screen,
            auto_refresh=auto_refresh and screen.is_terminal,
            speed_estimate_period=ESTIMATED_OVER,
            transient=transient,
            get_time=get_time,
            disable=quiet() or not screen.is_terminal,
        )

    def due(self) -> bool:
        """Whether a refresh would show anything now."""
        now = self.get_time()
        if self._lines and self._listener is None:
            return any(self._line_due(task, now) for task in self.tasks)
        return now >= self._drawn + REDRAWN

    def refresh(self) -> None:
        """Draw the bars, or say the lines, unless that was done a moment ago."""
        now = self.get_time()
        for task in self.tasks if self._lines else ():
            if self._line_due(task, now):
                self._told[task.id] = inf if task.finished else now
                self.console.print(self._line(task), markup=False, highlight=False, soft_wrap=True)
        if now >= self._drawn + REDRAWN:
            self._drawn = now
            if self._listener is not None:
                for task in self.tasks:
                    self._listener(task.completed, task.total)
            super().refresh()

    def _line_due(self, task: Task, now: float) -> bool:
        """A task tells its first line after a while, and its end only if it told one before."""
        last = self._told.get(task.id)
        if last is None:
            return task.start_time is not None and now >= task.start_time + EVERY
        return now >= last + EVERY or (task.finished and last != inf)


def tracked(items: Sequence[T], label: str, *, transient: bool = False) -> Iterator[T]:
    """The items, with a bar of how many are done, which goes away at the end if it is transient."""
    columns = (_words(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _Left())
    with Steps(*columns, line=lambda task: _line(task, label), auto_refresh=True, transient=transient) as progress:
        yield from progress.track(items)


def counted(step: str, what: str, *, get_time: GetTimeCallable | None = None) -> Steps:
    """A bar with a count and the times gone and left.

    It is drawn where it is told to refresh: a thread that does so would write into the standard error while native
    libraries have it held back (`dubbench.face.landmarks`).

    Args:
        step: what is going on.
        what: is counted; ``{task.fields[name]}`` stands for a field of the task. The field ``before`` says how many
            were counted at the beginning.
        get_time: gives seconds, by default of a clock.
    """
    columns = (_words(step), BarColumn(), MofNCompleteColumn(), TextColumn(what, markup=False))
    times = TimeElapsedColumn(), _Left()
    return Steps(
        *columns, *times, line=lambda task: _line(task, step.strip(), what.format(task=task)), get_time=get_time
    )


def _words(text: str) -> TextColumn:
    """A column of words as they are: neither braces nor brackets in a name mean anything."""
    return TextColumn(visible(text).replace("{", "{{").replace("}", "}}"), markup=False)


@contextmanager
def downloading(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar of bytes; gives what is told how many are here, and of how many if that is known."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    rates = TransferSpeedColumn(), _Left()
    with Steps(*columns, *rates, line=lambda task: _line(task, name, "MB", 1e6), auto_refresh=True) as progress:
        task = progress.add_task(name, total=None)

        def tell(here: int, total: int | None) -> None:
            progress.update(task, completed=here, total=total)
            if progress.due():
                progress.refresh()

        yield tell


def _line(task: Task, step: str, what: str = "", unit: float = 1.0) -> str:
    """One line: ``scoring: 3 of 30 clips, 0:01:05 gone, about 0:09:45 left``."""
    total = "" if task.total is None else f" of {task.total / unit:.0f}"
    times, left = [f"{clock(task.elapsed or 0)} gone"], _left(task)
    if left:
        times.append(f"about {clock(left)} left")
    return f"{step}: {', '.join([f'{task.completed / unit:.0f}{total} {what}'.strip(), *times])}"


def _left(task: Task) -> float | None:
    """Seconds until a task is done; after the first count from that alone, which rich's estimate leaves out.

    What was counted at the beginning already is in the task's field ``before``.
    """
    before: float = task.fields.get("before", 0)
    done = task.completed - before
    if task.time_remaining is not None or task.remaining is None or not (done > 0 and task.elapsed):
        return task.time_remaining
    return float(task.remaining * task.elapsed / done)


def clock(seconds: float) -> str:
    """A span of time as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
