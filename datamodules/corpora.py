"""Several prepared corpora as one: by which weights windows come from them, and whose speakers are whose."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.windows import Place, WindowDataset
from dubbench.errors import DubbenchError

Counts: TypeAlias = NDArray[np.int64]


class MixedDataset(Dataset[Place]):
    """Windows of several corpora: a round has as many of each as its weight asks for, over the rounds exactly.

    A batch's speakers and clips are called CORPUS/NAME, so that no name is shared by two corpora.

    Args:
        parts: one dataset a corpus, of one window.
        names: of the corpora.
        weights: of the corpora, in any unit; None weighs each by the windows that it holds.
        length: windows a round.
    """

    def __init__(
        self, parts: Sequence[WindowDataset], names: Sequence[str], weights: Sequence[float] | None, length: int
    ) -> None:
        self.parts, self.names, self.length = parts, names, length
        given = np.array([part.places for part in parts] if weights is None else weights, float)
        self.shares = given / given.sum()
        self._names = {part.root: name for part, name in zip(parts, names, strict=True)}

    @property
    def clips(self) -> list[str]:
        """Ids of all clips that windows are drawn from, CORPUS/CLIP."""
        return [f"{name}/{clip}" for name, part in zip(self.names, self.parts, strict=True) for clip in part.clips]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, int]) -> Place:
        """Draw window i of round 0, or of round e for the key (e, i)."""
        turn, index = key if isinstance(key, tuple) else (0, key)
        counts = self.counts(turn)
        part = int(np.searchsorted(np.cumsum(counts), index, side="right"))
        return self.parts[part].draw(turn, index - int(counts[:part].sum()), int(counts[part]))

    def counts(self, turn: int) -> Counts:
        """Windows of each corpus in a round, int64 [corpora]."""
        # What single windows the shares of many rounds come to, the others get in some of them, the largest the rest.
        ends = np.floor(np.outer(self.shares * self.length, [turn, turn + 1]) + 1e-6).astype(np.int64)
        counts: Counts = ends[:, 1] - ends[:, 0]
        largest = int(self.shares.argmax())
        counts[largest] += self.length - counts.sum()
        return counts

    def collate(self, places: Sequence[Place]) -> Batch:
        """Read windows into one batch, in their order."""
        batch = self.parts[0].collate(places)
        names = [self._names[place.clip.root] for place in places]
        return replace(
            batch,
            speakers=[f"{name}/{speaker}" for name, speaker in zip(names, batch.speakers, strict=True)],
            clips=[f"{name}/{clip}" for name, clip in zip(names, batch.clips, strict=True)],
        )


def as_list(value: "str | Sequence[str]") -> list[str]:
    """One name or several, as a list; a text with commas is several."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [*value]


def paired(roots: "str | Sequence[str]", names: "str | Sequence[str]") -> tuple[list[Path], list[str]]:
    """Prepared folders with the names of their corpora.

    Raises:
        DubbenchError: if there is not one folder a name, or two have one name.
    """
    called = as_list(names)
    # A single corpus' folder may have a comma in its name.
    folders = [roots] if isinstance(roots, str) and len(called) == 1 else as_list(roots)
    if len(folders) != len(called) or len({*folders}) != len(folders) or len({*called}) != len(called):
        raise DubbenchError(
            f"{len(called)} corpora ({', '.join(called)}) and {len(folders)} folders ({', '.join(folders)}) do not go "
            "together; give each corpus once, with a prepared folder of its own, in the same order"
        )
    return [Path(folder) for folder in folders], called


def speakers_of(name: str, speakers: Sequence[str] | None, corpora: Sequence[str]) -> list[str] | None:
    """Those of the wanted speakers that belong to a corpus; of several corpora, speakers are called CORPUS/SPEAKER.

    Raises:
        DubbenchError: if a speaker's corpus is not told, or is none of them.
    """
    if speakers is None or len(corpora) == 1:
        return None if speakers is None else [*speakers]
    for speaker in speakers:
        if speaker.partition("/")[0] not in corpora or "/" not in speaker:
            raise DubbenchError(
                f"speaker {speaker} may be of any of {', '.join(corpora)}; of several corpora name speakers as "
                f"{corpora[0]}/SPEAKER"
            )
    return [speaker.partition("/")[2] for speaker in speakers if speaker.startswith(f"{name}/")]
