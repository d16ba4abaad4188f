"""How much worse a demo's methods dub with another sentence than with their own: what a method that listens shows.

    python -m benchmarks.hearing demo

For each method of a finished ``dubbench demo``: mouth landmark distance to the clips' own mouths of the four test
sentences, dubbed by their own speech and by the next test sentence's, and the second over the first. 1 says that speech
changes nothing.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.demo.recipes import PROTOCOL
from dubbench.evaluation.evaluate import evaluate
from dubbench.models.base import DubbingModel
from dubbench.models.load import load_model
from dubbench.protocols.protocol import load
from dubbench.results.rows import COPY_REFERENCE, read_summary

OTHER = "_other"


class OtherSpeech:
    """A method that is given the next clip's speech, as often as it takes to fill the clip."""

    def __init__(self, model: DubbingModel, clips: Sequence[PreparedClip]) -> None:
        self.model = model
        names = [clip.info.clip for clip in clips]
        self.next = dict(zip(names, [*clips[1:], clips[0]], strict=True))

    def dub(
        self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]
    ) -> Iterator[NDArray[np.uint8]]:
        """As `DubbingModel.dub`."""
        return self.model.dub(clip, np.resize(self.next[clip.info.clip].speech(), speech.shape), references)

    def paste_mask(self) -> NDArray[np.float32]:
        """As `DubbingModel.paste_mask`."""
        return self.model.paste_mask()

    def parameter_count(self) -> int:
        """As `DubbingModel.parameter_count`."""
        return self.model.parameter_count()


def checkpoints(demo: Path) -> dict[str, Path]:
    """The last training's checkpoint of each method in a demo's folder."""
    found = {}
    for results in sorted((demo / "results").iterdir()):
        runs = sorted((demo / "trainings").glob(f"{results.name}*/checkpoints/last.ckpt"))
        found[results.name] = runs[-1]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder of a finished demo")
    demo = parser.parse_args().demo
    prepared = demo / "prepared"
    manifest = read_manifest(prepared)
    clips = [PreparedClip(prepared, str(name)) for name in sorted(manifest[manifest["split"] == "test"]["clip"])]
    rows: dict[str, DubbingModel | OtherSpeech] = {}
    for name, path in checkpoints(demo).items():
        model = load_model(path)
        rows |= {name: model, name + OTHER: OtherSpeech(model, clips)}
    rules = replace(load(PROTOCOL), name="hearing", metrics={"lmd": 1})
    with tempfile.TemporaryDirectory() as folder:
        out = evaluate(prepared, rows, out=folder, protocol=rules, source_root=demo / "corpus")
        values = {row.method: row.value for row in read_summary(out) if row.metric == "lmd"}
    print(f"{'method':12} {'own':>6} {'other':>6} {'ratio':>6}   copying: {values[COPY_REFERENCE]:.3f}")
    for name in rows:
        if not name.endswith(OTHER):
            own, other = values[name], values[name + OTHER]
            print(f"{name:12} {own:6.3f} {other:6.3f} {other / own:6.2f}")


if __name__ == "__main__":
    main()
