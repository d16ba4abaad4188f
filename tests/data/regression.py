"""A miniature run with a fixed seed, whose results `dubbench compare` holds against the repository's baseline.

python -m tests.data.regression OUT [--seed N] [--threads N] [--prepared DIR]
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from dubbench.cli import main
from dubbench.core.files import write_text
from tests.data import speakers

SENTENCES = {"en-1": "train", "es-1": "val", "en-2": "test"}
BATCHES = "12"
# By folder of the results: the model, and the protocol it is scored under.
SCORED = {
    "first_frame": ("radio", "first_frame"),
    "cross": ("radio", "cross"),
    "personatalk_first_frame": ("personatalk", "first_frame"),
    "native": ("personatalk", "native"),
    "realtalk_first_frame": ("realtalk", "first_frame"),
    "realtalk_cross": ("realtalk", "cross"),
    "g4g_first_frame": ("g4g", "first_frame"),
    "g4g_cross": ("g4g", "cross"),
}


def run(out: Path, seed: int = 0, threads: int = 1, prepared: Path | None = None) -> int:
    """Make two speakers, train every method for a few batches, and score each under two protocols.

    Args:
        out: folder of everything, emptied first.
        seed: of weights and draws.
        threads: of torch.
        prepared: clips that an earlier run left in ``OUT/prepared``, instead of making them again.
    """
    shutil.rmtree(out, ignore_errors=True)
    # The same numbers on every machine: no pretrained file that one has and another has not.
    os.environ.update(DUBBENCH_ASSETS=str(out / "assets"), XDG_CACHE_HOME=str(out / "cache"))
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    steps = _training_and_scoring(out, str(prepared or out / "prepared"), str(seed))
    if prepared is None:
        steps.insert(0, _corpus(out))
    return next((status for words in steps if (status := main(words))), 0)


def _corpus(out: Path) -> list[str]:
    """Make the clips; returns the command that prepares them."""
    clips = speakers.make(out / "corpus", SENTENCES, speakers.SPEAKERS[:2])
    rows = [f"{clip.clip},{clip.speaker},{SENTENCES[clip.path.stem]}\n" for clip in clips]
    write_text(out / "split.csv", "".join(["clip,speaker,split\n", *rows]))
    corpus = ["--dataset", "folder", "--root", str(out / "corpus"), "--out", str(out / "prepared"), "--size", "96"]
    return ["prepare", *corpus, "--split", str(out / "split.csv"), "--geometry", "mesh"]


def _training_and_scoring(out: Path, prepared: str, seed: str) -> list[list[str]]:
    data = ["--dataset", "folder", "--dataset.root", prepared]
    epoch = ["--data.windows_per_epoch", "24", "--data.val_windows", "4", "--data.num_workers", "0"]
    cpu = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]

    def weights(name: str) -> str:
        return str(out / name / "checkpoints" / "last.ckpt")

    def fit(name: str, *more: str) -> list[str]:
        length = ["--model.iterations", BATCHES, "--seed_everything", seed]
        return ["fit", "--model", f"{name}_tiny", *data, *epoch, *cpu, *length, *more, "--out", str(out / name)]

    sync = ["--model.sync_expert", weights("sync_expert")]
    judges = ["--sync_expert", weights("sync_expert"), "--style_encoder", weights("style_encoder")]

    def scored(folder: str, model: str, protocol: str) -> list[str]:
        more = sync if model == "radio" else []
        where = ["--protocol", protocol, "--out", str(out / folder), "--device", "cpu", "--seed", seed]
        return ["eval", "--model", f"{model}_tiny", *data, "--ckpt_path", weights(model), *judges, *more, *where]

    return [
        fit("sync_expert"),
        fit("radio", *sync),
        *(fit(name) for name in ("style_encoder", "personatalk", "realtalk", "g4g")),
        *(scored(folder, *what) for folder, what in SCORED.items()),
    ]


def command(args: Sequence[str] | None = None) -> int:
    """Run as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prepared", type=Path)
    given = parser.parse_args(args)
    return run(given.out, given.seed, given.threads, given.prepared)


if __name__ == "__main__":
    sys.exit(command())
