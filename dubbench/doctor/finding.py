"""One thing that was looked at."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is said of a thing.

    Attributes:
        topic: under which it stands.
        text: what is there, or what is wrong.
        state: ``broken`` is also a version that does not fit; ``limited`` works, but less well than it could.
        name: of what is not fine.
        cost: what cannot be done without it.
        remedy: how to get it: a command line where there is one.
        essential: whether verbs cannot do without it.
        facts: the same for programs.
    """

    topic: str
    text: str
    state: Literal["fine", "limited", "missing", "broken"] = "fine"
    name: str = ""
    cost: str = ""
    remedy: str = ""
    essential: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def stops_work(self) -> bool:
        """Whether something that verbs cannot do without is not there."""
        return self.essential and self.state in ("missing", "broken")
