"""Feed RealTalk's stream a frame at a time: does the renderer hold its pace, and does memory stay?

python -m benchmarks.stream [--frames 1000] [--size 128]

The networks have the paper's widths and fresh weights, the frames are a demo clip's, again and again. The renderer's
time a frame, read at the marks of `dubbench.models.parts` while the stream runs, is held against its bare operators
(see benchmarks/renderer.py) in batches of the stream's, timed between the same pushes. Memory is the peak of the
resident set after 100 frames and at the end. Exit status 1 if a limit is missed.
"""

import argparse
import resource
import sys
import time
from itertools import cycle, islice
from statistics import median

import torch

from benchmarks.renderer import LIMIT, Recorder
from dubbench.datamodules.batch import SAMPLES_PER_FRAME
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import read_geometry
from dubbench.models.options import Adversarial
from dubbench.models.parts import Watch
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.realtalk.networks import stages_of
from dubbench.models.realtalk.options import TransformerOptions
from dubbench.models.realtalk.streaming import Speaker, Target
from dubbench.speed.clip import demo_clip, find_clip

GROWTH = 20  # MiB
WARM = 100


def main() -> int:
    """Print times, ratio and memory; status 1 if the ratio is above the renderer's limit or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    root = demo_clip(options.size, "mesh")
    clip = find_clip(root, None, options.frames)
    model = RealTalk(
        size=options.size,
        speech="tiny",
        transformer=TransformerOptions(width=256),
        perceptual="none",
        adversarial=Adversarial(weight=0.0),
    ).eval()
    model.make_ready(root)
    speaker, targets = _parts(clip, options.size, model)
    stream, speech = model.stream(speaker), clip.speech()
    renderer = stages_of(model.ema.module).renderer
    batch = 4
    masked = torch.rand(batch, 3, options.size, options.size).to(memory_format=torch.channels_last)
    with torch.no_grad():
        reference = renderer.encode_reference(masked[:1])
        with Recorder() as recorder:
            renderer.draw(masked, reference, torch.randn(batch, 150))
    whole, bare, left, before = [], [], 0, 0.0
    for number, target in enumerate(islice(cycle(targets), options.frames)):
        place = number % len(targets) * SAMPLES_PER_FRAME
        with Watch(time.perf_counter) as watch:
            frames = stream.push(speech[place : place + SAMPLES_PER_FRAME], [target])
        left += len(frames)
        if frames:
            with torch.inference_mode():
                start = time.perf_counter()
                for call in recorder.calls:
                    call()
            if number >= WARM:
                whole.append(watch.spent["renderer"] / len(frames))
                bare.append((time.perf_counter() - start) / batch)
        if number == WARM:
            before = peak()
    left += len(stream.finish())
    grown = peak() - before
    ratio = median(whole) / median(bare)
    half = len(whole) // 2
    print(f"renderer       {1000 * median(whole):6.1f} ms a frame of {options.size} pixels, {left} frames")
    print(f"  first half   {1000 * median(whole[:half]):6.1f} ms   second half {1000 * median(whole[half:]):6.1f} ms")
    print(f"bare operators {1000 * median(bare):6.1f} ms   ratio {ratio:.2f}  (limit {LIMIT})")
    print(f"memory         {grown:+6.1f} MiB after the first {WARM} frames  (limit {GROWTH})")
    return int(ratio > LIMIT or grown > GROWTH or left != options.frames)


def peak() -> float:
    """Largest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _parts(clip: PreparedClip, size: int, model: RealTalk) -> tuple[Speaker, list[Target]]:
    rows = read_geometry(clip, model.face.hash())
    shape, expression, pose = (torch.from_numpy(rows.rows(name)) for name in ("shape", "expression", "pose"))
    frames = list(clip.stream(size))
    targets = [Target(*row) for row in zip(frames, pose, strict=True)]
    return Speaker(frames[0], shape[0], expression[[0] * 16]), targets


if __name__ == "__main__":
    sys.exit(main())
