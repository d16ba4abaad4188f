"""Trains every method and expert by `dubbench fit`, in as many processes as this was started in.

torchrun --nproc_per_node 2 -m tests.training.processes MODELS CLIPS OUT STEPS [WORDS ...]
"""

import os
import sys
from pathlib import Path
from typing import Any

from dubbench.cli import main
from tests.datamodules.miniature import Clip
from tests.models.talkers import make

TRANSFORMER = "{width: 16, layers: 1, heads: 2, dropout: 0.0}"
ADVERSARIAL = "{weight: 0.1, widths: [4, 8, 8]}"
EXPERT = {
    **{"size": 32, "crop_size": 32, "widths": "[8,8,16,16]", "blocks": "[1,1,1,1]", "speech_widths": "[4,8,16,16]"},
    **{"speech_blocks": "[1,1,1,1]", "embedding": 16, "flip": True, "shift": 0.05, "brightness": 0.1},
}
GEOMETRY = {"size": 32, "vertices": 64, "speech": "mel", "frames": 8, "perceptual": "none"}
MODELS: dict[str, dict[str, Any]] = {
    "sync_expert": EXPERT,
    "style_encoder": {"vertices": 64, "frames": 5, "gap": 2, "width": 16, "layers": 1, "heads": 2, "dropout": 0.0},
    "radio": {
        **{"size": 32, "widths": "[8,8,16]", "style_dim": 16, "speech_widths": "[4,8,8,8]", "vit_blocks": 1},
        **{"speech_blocks": "[1,1,1,1]", "vit_layers": 1, "vit_width": 16, "references": 1, "perceptual": "none"},
        **{"sync_expert": "null", "sync_weight": 0, "adversarial": ADVERSARIAL, "lip_weight": 3},
    },
    "personatalk": {
        **GEOMETRY,
        **{"transformer": TRANSFORMER, "renderer": "{channels: 16}", "pictures": 2, "face_references": 2},
        **{"lip_references": 2, "dub_lip_references": 4, "adversarial": ADVERSARIAL},
    },
    "realtalk": {
        **GEOMETRY,
        **{"shapes": 4, "expressions": 3, "history": 4, "pictures": 2, "adversarial": ADVERSARIAL, "predicted": 0.5},
        **{"transformer": "{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, dropout: 0.0}"},
        **{"renderer": "{widths: [8, 8, 16, 16], stem: 8, blocks: 1, heads: 2}"},
    },
    "g4g": {
        **{"size": 32, "aligned_size": 64, "perceptual": "none", "moments": 2, "sync_expert": "null"},
        **{"networks.widths": "[4,8]", "networks.channels": 8, "networks.dim": 32, "networks.hidden": 16},
        **{"networks.alignment_blocks": 1, "networks.decoder_blocks": 1, "networks.landmark_widths": "[4,8]"},
        **{"networks.speech_widths": "[4,4,4,8]", "networks.speech_blocks": "[1,1,1,1]"},
        **{"networks.blend_widths": "[4,8,8]", "adversarial": "{weight: 3.0, widths: [4, 8, 8]}"},
    },
}
CLIPS = [
    *(Clip(f"{name}/{number}", 24 + 4 * number) for name in ("anna", "bert", "cleo") for number in (1, 2)),
    Clip("dora/val", 20, "val"),
]


def corpus(folder: Path) -> Path:
    """A prepared folder that all of them can be trained on."""
    return make(folder, CLIPS)


def words(model: str, clips: Path, out: Path, steps: int) -> list[str]:
    """A command line that trains a model for some steps and logs all of them."""
    options = [word for name, value in MODELS[model].items() for word in (f"--model.{name}", str(value))]
    data = ["--dataset", "folder", "--dataset.root", str(clips), "--data.dataset", "mini", "--data.batch_size", "4"]
    logger = "{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {save_dir: " + str(out / model) + "}}"
    return [
        *("fit", "--model", model, *options, *data, "--data.val_windows", "0"),
        *("--model.iterations", str(steps), "--out", str(out / model), "--trainer.accelerator", "cpu"),
        *("--trainer.devices", os.environ.get("WORLD_SIZE", "1"), "--trainer.log_every_n_steps", "1"),
        *("--trainer.logger", logger),
    ]


def train(models: str, clips: Path, out: Path, steps: int, *more: str) -> int:
    """Train models, with commas between them; the worst status of all."""
    rest = [*more, *([] if "--data.num_workers" in more else ["--data.num_workers", "0"])]
    return max(main([*words(name, clips, out, steps), *rest]) for name in models.split(","))


if __name__ == "__main__":
    chosen, root, folder, count, *others = sys.argv[1:]
    sys.exit(train(chosen, Path(root), Path(folder), int(count), *others))
