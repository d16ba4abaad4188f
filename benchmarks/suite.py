"""All metrics of a clip against their bare network forwards and decoding: python -m benchmarks.suite [VIDEO].

One process, in turns, on a clip of three seconds (by default a photograph that sways) and a re-encoded copy. Ours is
what `dubbench score` does a clip, the ground truth's landmarks known: decode both, find the prediction's face, crop,
track, all metrics. The bare side decodes both, runs MediaPipe's face mesh over the prediction, and every network over
tensors of the same shapes in the same batches; no crop, no warp, no pixel metric. Weights are random: they cost the
same. CSIM takes part where an embedder is among the assets. Compared is processor time. Exit status 1 above the limit.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.prepare import make_video
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import ScoringJob
from dubbench.evaluation.footage import CHUNK, RawFootage
from dubbench.evaluation.pairs import Prediction, match
from dubbench.evaluation.score_clip import score_clip
from dubbench.face.landmarks import FaceMesh
from dubbench.media.audio import aligned_speech
from dubbench.media.video import VideoWriter, read_frames
from dubbench.metrics import LPIPS, ArcFace, FIDInception, Suite, SyncNet
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.common.options import EMBEDDERS
from dubbench.metrics.networks.pretrained import embedder
from dubbench.protocols.protocol import load

LIMIT = 1.25
SIDE, SECONDS, SYNC_BATCH = 512, 3, 20


def some_embedder() -> ArcFace | None:
    """The first that is among the assets."""
    for name in EMBEDDERS:
        try:
            return embedder(name)
        except DubbenchError:
            continue
    return None


def forwards(suite: Suite, frames: int) -> Callable[[], None]:
    """Every network over tensors of the shapes that ``frames`` frames make."""
    random = torch.Generator().manual_seed(0)

    def images(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)

    crops, faces, lips = images(CHUNK, 3, 256, 256), images(CHUNK, 3, 112, 112), images(SYNC_BATCH + 4, 3, 224, 224)
    networks, sounds = suite.networks, torch.randn(SYNC_BATCH, 1, 13, 20, generator=random)

    @torch.inference_mode()
    def run() -> None:
        folded = networks["syncnet"].folded("cpu")
        for start in range(0, frames, CHUNK):
            count = min(CHUNK, frames - start)
            for name in ("lpips_alex", "lpips_vgg"):
                networks[name](crops[:count], crops[:count])
            networks["inception"](crops[:count])
            if "embedder" in networks:
                networks["embedder"](torch.cat([faces[:count], faces[:count]]))
        for start in range(0, frames - 4, SYNC_BATCH):
            count = min(SYNC_BATCH, frames - 4 - start)
            folded.visual(lips[: count + 4])
            folded.audio(sounds[:count])

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, help="talking face with sound")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each both ways in turn")
    given = parser.parse_args()
    networks = {
        "lpips_alex": LPIPS("alex"),
        "lpips_vgg": LPIPS("vgg"),
        "inception": FIDInception(),
        "syncnet": SyncNet(),
    }
    face = some_embedder()
    wanted = [name for name, each in DEFINITIONS.items() if each.network not in ("sync_expert",)]
    suite = Suite(wanted, networks={**networks, **({"embedder": face} if face else {})})
    print(
        f"{len(suite.metrics)} metrics, {torch.get_num_threads()} threads; without {', '.join(suite.absent) or 'none'}"
    )
    with tempfile.TemporaryDirectory() as folder, FaceMesh() as first, FaceMesh() as second:
        target = given.video or make_video(Path(folder, "target.mp4"), SECONDS, SIDE)
        pred = Path(folder, "pred.mp4")
        images = list(read_frames(target))
        with VideoWriter(pred, images[0].shape[1], images[0].shape[0], crf=20, speech=aligned_speech(target)) as out:
            for image in images:
                out.write(image)
        (pair,) = match(pred, target).pairs
        rules, bare = load("first_frame"), forwards(suite, len(images))

        def ours() -> None:
            job = ScoringJob(RawFootage(target, "clip", first), None, rules)
            (result,) = score_clip(job, {Prediction(pair): ""}, suite, {"pred": second}, features=Path(folder))
            if result.failure or set(result.notes) - {"csim"}:
                sys.exit(f"the clip could not be scored: {result.failure or result.notes}")

        def plain() -> None:
            second.reset()
            for _, image in zip(read_frames(target), read_frames(pred), strict=False):
                second.detect(np.ascontiguousarray(image))
            bare()

        ours()
        ratios = []
        for _ in range(given.rounds):
            start = time.process_time()
            plain()
            middle = time.process_time()
            ours()
            ratios.append((time.process_time() - middle) / (middle - start))
            print(f"bare {middle - start:.1f} s, ours {time.process_time() - middle:.1f} s: ratio {ratios[-1]:.3f}")
    ratio = median(ratios)
    print(f"suite on {len(images)} frames: ratio {ratio:.3f} (at most {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
