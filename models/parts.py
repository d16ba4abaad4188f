"""Named parts of a method's work, marked in its `dub`, so that a measurement can tell what each costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType

from typing_extensions import Self


class Watch:
    """Reads a meter, such as a clock, wherever a part begins or ends while this block runs.

    What is read between two marks goes to the innermost part, so parts never count twice, and what lies in no part is
    ``total`` less all of them.

    Attributes:
        spent: by part, how far the meter went in it, in the order in which parts first began.
        total: how far it went in the whole block.
        current: the innermost part that is going on, empty between parts.
    """

    def __init__(self, meter: Callable[[], float]) -> None:
        """Watch by a meter that never goes back; it must wait for an accelerator's work itself."""
        self.spent: dict[str, float] = {}
        self.total = 0.0
        self.current = ""
        self._meter = meter
        self._start = self._last = 0.0
        self._token: Token[Watch | None] | None = None

    def __enter__(self) -> Self:
        self._token = _watch.set(self)
        self._start = self._last = self._meter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._book()
        self.total = self._last - self._start
        assert self._token is not None
        _watch.reset(self._token)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Book what this block takes to ``name``; see `part`."""
        self._book()
        outer, self.current = self.current, name
        self.spent.setdefault(name, 0.0)
        try:
            yield
        finally:
            self._book()
            self.current = outer

    def _book(self) -> None:
        now = self._meter()
        if self.current:
            self.spent[self.current] += now - self._last
        self._last = now


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Mark a block of a method's work; it costs nothing worth naming unless a `Watch` looks on.

    A generator must not yield within the block: what its consumer does meanwhile would be booked to the part.
    """
    watch = _watch.get()
    if watch is None:
        yield
        return
    with watch.within(name):
        yield
