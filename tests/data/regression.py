"""A miniature run with a fixed seed, whose results `dubbench compare` holds against the repository's baseline.

python -m tests.data.regression OUT
"""

import os
import shutil
import sys
from pathlib import Path

import torch

from dubbench.cli import main
from dubbench.datamodules.demo.portraits import PORTRAITS
from dubbench.datamodules.sources.demo import make_clip, talking_face
from dubbench.files import write_text

SENTENCES = {"en-1": "train", "es-1": "val", "en-2": "test"}
BATCHES = "12"


def run(out: Path) -> int:
    """Make two speakers, train every method for a few batches, and score each under two protocols."""
    shutil.rmtree(out, ignore_errors=True)
    # The same numbers on every machine: no pretrained file that one has and another has not.
    os.environ.update(DUBBENCH_ASSETS=str(out / "assets"), XDG_CACHE_HOME=str(out / "cache"))
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rows = ["clip,speaker,split"]
    for portrait in PORTRAITS[:2]:
        face = talking_face(portrait)
        for sentence, split in SENTENCES.items():
            make_clip(out / "corpus" / portrait.speaker / f"{sentence}.mp4", portrait, face, sentence, 0)
            rows.append(f"{portrait.speaker}/{sentence},{portrait.speaker},{split}")
    write_text(out / "split.csv", "\n".join(rows) + "\n")
    prepared, expert, style = str(out / "prepared"), str(out / "expert"), str(out / "style")
    radio, persona, real, g4g = (str(out / name) for name in ("radio", "personatalk", "realtalk", "g4g"))
    data = ["--dataset", "folder", "--dataset.root", prepared]
    epoch = ["--data.windows_per_epoch", "24", "--data.val_windows", "4"]
    cpu = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]
    sync = ["--model.sync_expert", str(Path(expert, "checkpoints", "last.ckpt"))]
    judges = ["--sync_expert", str(Path(expert, "checkpoints", "last.ckpt"))]
    judges += ["--style_encoder", str(Path(style, "checkpoints", "last.ckpt"))]

    def scoring(model: str, run: str, *more: str) -> list[str]:
        weights = ["--ckpt_path", str(Path(run, "checkpoints", "last.ckpt")), "--device", "cpu"]
        return ["eval", "--model", model, *data, *weights, *judges, *more]

    corpus = ["--dataset", "folder", "--root", str(out / "corpus"), "--out", prepared, "--size", "96"]
    length = ["--model.iterations", BATCHES]
    commands = [
        ["prepare", *corpus, "--split", str(out / "split.csv"), "--geometry", "mesh"],
        ["fit", "--model", "sync_expert_tiny", *data, *epoch, *cpu, *length, "--out", expert],
        ["fit", "--model", "radio_tiny", *data, *epoch, *cpu, *length, *sync, "--out", radio],
        ["fit", "--model", "style_encoder_tiny", *data, *epoch, *cpu, *length, "--out", style],
        ["fit", "--model", "personatalk_tiny", *data, *epoch, *cpu, *length, "--out", persona],
        ["fit", "--model", "realtalk_tiny", *data, *epoch, *cpu, *length, "--out", real],
        ["fit", "--model", "g4g_tiny", *data, *epoch, *cpu, *length, "--out", g4g],
        scoring("radio_tiny", radio, *sync, "--out", str(out / "first_frame")),
        scoring("radio_tiny", radio, *sync, "--out", str(out / "cross"), "--protocol", "cross"),
        scoring("personatalk_tiny", persona, "--out", str(out / "personatalk_first_frame")),
        scoring("personatalk_tiny", persona, "--out", str(out / "native"), "--protocol", "native"),
        scoring("realtalk_tiny", real, "--out", str(out / "realtalk_first_frame")),
        scoring("realtalk_tiny", real, "--out", str(out / "realtalk_cross"), "--protocol", "cross"),
        scoring("g4g_tiny", g4g, "--out", str(out / "g4g_first_frame")),
        scoring("g4g_tiny", g4g, "--out", str(out / "g4g_cross"), "--protocol", "cross"),
    ]
    return next((status for words in commands if (status := main(words))), 0)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
