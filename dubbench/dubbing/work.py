"""The folder beside the output in which a dubbing grows: whose it is, and what is finished in it."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from dubbench.core.files import UNFINISHED, no_room, write_json
from dubbench.core.locks import claimed
from dubbench.errors import DubbenchError

IDENTITY = "dub.json"


class WorkFolder:
    """The work folder of an output, this run's alone while the block lasts.

    It goes on with what it holds if that was made from the same inputs in the same way, else begins anew.

    Args:
        out: the output; the folder is called the same with ``.work``.
        identity: of all that decides the output's bytes, plain values.
        say: told if the folder begins anew.

    Raises:
        DubbenchError: if another run is at work there, or a folder of that name holds something else.
    """

    def __init__(self, out: Path, identity: dict[str, Any], say: Callable[[str], None]) -> None:
        self.folder = out.resolve().with_name(f"{out.name}.work")
        self._identity: dict[str, Any] = json.loads(json.dumps(identity))
        self._say = say

    def __enter__(self) -> "WorkFolder":
        self._stack = ExitStack()
        if self.folder.exists() and (not self.folder.is_dir() or (self._foreign() and self._filled())):
            raise DubbenchError(f"{self.folder} is no work folder of dubbench dub; move it away or give another --out")
        self._stack.enter_context(claimed(self.folder, "dub"))
        with self._stack:
            self._begin()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What cannot be used leaves nothing behind; a full disk, a kill or a surprise leaves what there is.
        if isinstance(error, DubbenchError) and not no_room(error):
            self.remove()
        self._stack.__exit__(kind, error, trace)

    def path(self, name: str) -> Path:
        """Where a file of the work lies."""
        return self.folder / name

    def once(self, step: str, name: str, make: Callable[[], str]) -> str:
        """Do a step that makes a file, unless it is finished, and give what it returned."""
        note = self.path(f"{step}.json")
        if note.is_file() and self.path(name).exists():
            return str(json.loads(note.read_text(encoding="utf-8")))
        result = make()
        write_json(note, result)
        return result

    def remove(self) -> None:
        """Remove the folder; what tells whose it is goes last."""
        self._clear()
        self.path(IDENTITY).unlink()
        self.folder.rmdir()

    def _foreign(self) -> bool:
        return not self.path(IDENTITY).is_file()

    def _filled(self) -> bool:
        """Whether there is anything but what a kill left of the file that tells whose it is."""
        return any(not path.match(UNFINISHED) for path in self.folder.iterdir())

    def _begin(self) -> None:
        """See whose the work is, and begin anew if it is another's."""
        if not self._foreign():
            try:
                before = json.loads(self.path(IDENTITY).read_text(encoding="utf-8"))
            except ValueError:
                before = {}
            other = [name for name, value in self._identity.items() if before.get(name) != value]
            if not other:
                return
            self._say(f"{self.folder} holds work with another {' and '.join(other)}, which is begun anew")
            self._clear()
        write_json(self.path(IDENTITY), self._identity)

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != IDENTITY:
                path.unlink()
