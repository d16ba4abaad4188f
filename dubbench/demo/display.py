"""How far the whole demo is: a line a running chain and one over all; without a terminal a line now and then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from time import monotonic
from typing import Any

from rich.progress import BarColumn, Task, TaskID, TextColumn

from dubbench.core.progress import Steps, clock
from dubbench.demo.steps import Chain, Plan, Step

# Seconds whose pace counts as measured before anything was, since the first moments say little, and of a training's
# start that no batch is expected in.
PRIOR, LOADING = 30.0, 8.0


@dataclass
class _Run:
    """A step that runs or has run in this demo.

    Attributes:
        begun: when.
        ended: when, or None.
        first: how many it had counted when it began.
        done: how many it has counted.
        of: how many there are to count.
    """

    begun: float
    ended: float | None = None
    first: float | None = None
    done: float = 0.0
    of: float | None = None

    def left(self, step: Step) -> float:
        """Seconds that the step is expected to take yet."""
        if self.ended is not None:
            return 0.0
        if step.batches:
            return step.seconds * (1 - self.done / self.of) if self.of else step.seconds
        return max(step.seconds - (monotonic() - self.begun), 0.1 * step.seconds)

    def expected(self, step: Step) -> float:
        """Seconds that what was done by now was expected to take."""
        if step.batches:
            return step.seconds * (self.done - (self.first or 0)) / self.of if self.of else 0.0
        return step.seconds if self.ended is not None else min(step.seconds, monotonic() - self.begun)

    def taken(self, step: Step) -> float:
        """Seconds that it took, of a training but those that its libraries take to load."""
        return max(0.0, (self.ended or monotonic()) - self.begun - (LOADING if step.batches else 0))


class Display:
    """Shows what `hear` and `end` tell it; use it as a context.

    Args:
        plan: the demo.
        workers: chains that run at once.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        self._plan, self._workers = plan, workers
        self._all = plan.steps
        self._chains = [plan.corpus, *plan.methods]
        self._kept = {id(step) for step in self._all if step.state() == "finished"}
        self._runs: dict[int, _Run] = {}
        self._tasks: dict[str, TaskID] = {}
        columns = TextColumn("{task.description}", markup=False), BarColumn()
        state = TextColumn("{task.fields[state]}", markup=False)
        self._steps = Steps(*columns, state, line=_line, transient=True)

    def __enter__(self) -> "Display":
        """Begin."""
        self._steps.__enter__()
        self._total = self._steps.add_task("demo", total=1.0, state="")
        self.show()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the screen back."""
        self._steps.__exit__(None, None, None)

    @property
    def kept(self) -> int:
        """Steps that were finished before."""
        return len(self._kept)

    def hear(self, chain: Chain, message: Mapping[str, Any]) -> None:
        """Take a message of a chain's process; see `dubbench.demo.child.work`."""
        step = chain.steps[message["step"]]
        run = self._runs.setdefault(id(step), _Run(monotonic()))
        if message.get("finished"):
            run.ended = monotonic()
        elif message.get("of"):
            run.done, run.of = message["done"], message["of"]
            run.first = run.done if run.first is None else run.first

    def show(self) -> None:
        """Draw, unless that was done a moment ago."""
        if not self._steps.due():
            return
        gone, left = self._steps.tasks[0].elapsed or 0.0, self.left()
        done = sum(self._done(step) for step in self._all)
        state = f"{done} of {len(self._all)} steps done, {clock(gone)} gone, about {clock(left)} left"
        running = {chain.name: told for chain in self._chains if (told := self._told(chain))}
        told = "" if self._steps.console.is_terminal else "".join(f"; {each}" for each in running.values())
        self._steps.update(self._total, completed=gone / (gone + left + 1e-9), state=state + told)
        if self._steps.console.is_terminal:
            self._show_chains(running)
        self._steps.refresh()

    def left(self) -> float:
        """Seconds that the demo is expected to take yet, at the pace measured so far."""
        runs = [(run, step) for step in self._all if (run := self._runs.get(id(step)))]
        pace = (PRIOR + sum(run.taken(step) for run, step in runs)) / (
            PRIOR + sum(run.expected(step) for run, step in runs)
        )
        ahead = [self._left(step) for step in (*self._plan.corpus.steps, self._plan.board)]
        chains = [sum(map(self._left, chain.steps)) for chain in self._plan.methods]
        return pace * (sum(ahead) + makespan(chains, self._workers))

    def _left(self, step: Step) -> float:
        if id(step) in self._kept:
            return 0.0
        run = self._runs.get(id(step))
        return step.seconds if run is None else run.left(step)

    def _done(self, step: Step) -> bool:
        run = self._runs.get(id(step))
        return id(step) in self._kept or (run is not None and run.ended is not None)

    def _told(self, chain: Chain) -> str:
        """What a chain does now; nothing if it does not run."""
        for number, step in enumerate(chain.steps, 1):
            run = self._runs.get(id(step))
            if run is not None and run.ended is None:
                count = f", {run.done:.0f} of {run.of:.0f} {step.unit}" if run.of else ""
                place = f" (step {number} of {len(chain.steps)})" if len(chain.steps) > 1 else ""
                return f"{chain.title}: {step.what}{place}{count}"
        return ""

    def _show_chains(self, running: Mapping[str, str]) -> None:
        for chain in self._chains:
            told = running.get(chain.name)
            if told and chain.name not in self._tasks:
                self._tasks[chain.name] = self._steps.add_task("", total=1.0, state="")
            if chain.name in self._tasks:
                whole = sum(step.seconds for step in chain.steps)
                share = 1 - sum(map(self._left, chain.steps)) / whole
                _, _, doing = (told or "").partition(": ")
                self._steps.update(
                    self._tasks[chain.name],
                    description=chain.title,
                    completed=share,
                    state=doing,
                    visible=bool(told),
                )


def makespan(lengths: Sequence[float], workers: int) -> float:
    """Seconds until tasks are done that are begun in this order as workers become free."""
    loads = [0.0] * workers
    heapify(loads)
    for length in lengths:
        heapreplace(loads, loads[0] + length)
    return max(loads)


def _line(task: Task) -> str:
    return f"{task.description}: {task.fields['state']}"
