"""Time the data loader against bare PyAV decode of the same frames: python benchmarks/loader.py [--root PREPARED].

Both run in one process on one thread in turns, on the windows that RADIO asks for: 5 frames and 5 references at 192 px,
log-mel, landmarks. The bare side opens each window's video once, decodes its frames to RGB and does nothing else.
Compared is processor time, which other programs disturb little; loaders with workers are shown beside it by the clock.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import soundfile
import torch
from skimage import data

from dubbench.core.files import write_json
from dubbench.datamodules.batch import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Mel, Window
from dubbench.datamodules.clip import MANIFEST_COLUMNS, ClipInfo
from dubbench.datamodules.datamodule import make_loader
from dubbench.datamodules.stream import StreamSampler
from dubbench.datamodules.track import TrackWriter
from dubbench.datamodules.windows import WindowDataset
from dubbench.media.video import VideoWriter

LIMIT = 1.3
WINDOW = Window(frames=5, references=5, size=192, mel=Mel())


def make_corpus(root: Path, clips: int = 4, frames: int = 75, size: int = 512) -> Path:
    """Prepared clips of a photographed face that drifts a little."""
    photograph = np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]  # scikit-image has no types
    random = np.random.default_rng(0)
    rows = []
    for number in range(clips):
        info = ClipInfo(
            clip=f"speaker/{number}",
            speaker="speaker",
            dataset="benchmark",
            split="train",
            source=f"{number}.mp4",
            source_sha256="0" * 64,
            frames=frames,
            size=size,
            source_width=size,
            source_height=size,
            detected=1.0,
            faces="one",
            smooth=0.0,
            versions={},
        )
        folder = root / info.clip
        folder.mkdir(parents=True)
        with VideoWriter(folder / "video.mp4", size, size, intra=True) as video:
            for k in range(frames):
                # The square that alignment would cut: about 250 of the photograph's pixels, enlarged.
                corner = np.array([100 + np.sin(k / 5), k / 40 + number])
                square = np.column_stack([np.eye(2) * size / 250, -corner * size / 250])
                frame = cv2.warpAffine(photograph, square, (size, size), borderMode=cv2.BORDER_REFLECT)
                video.write(np.asarray(frame, np.uint8))
        soundfile.write(folder / "audio.wav", random.normal(0, 0.1, frames * SAMPLES_PER_FRAME), SAMPLE_RATE, "PCM_16")
        with TrackWriter(folder / "track.npz") as track:
            for _ in range(frames):
                mesh = random.uniform(0, size, (478, 3))
                track.append(mesh=mesh, points=mesh[:68, :2], transform=np.eye(2, 3), detected=True)
        write_json(folder / "clip.json", info.as_dict())
        rows.append([info.as_dict().get(name, "") for name in MANIFEST_COLUMNS])
    pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS)).to_parquet(root / "manifest.parquet")
    return root


def bare(path: Path, indices: Sequence[int]) -> None:
    """Decode frames of an all-intra video with nothing but PyAV."""
    wanted = sorted(set(indices))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = 1 / (FPS * stream.time_base)
        container.seek(int(wanted[0] * ticks), stream=stream)
        stamps = {round(index * ticks) for index in wanted}
        for packet in container.demux(stream):
            if packet.pts in stamps:
                for frame in packet.decode():
                    frame.to_ndarray(format="rgb24")
                stamps.remove(packet.pts)
                if not stamps:
                    return


def time_bare(dataset: WindowDataset, epoch: int) -> float:
    """Processor seconds for the frames of an epoch's windows, decoded bare."""
    places = [dataset[epoch, index] for index in range(len(dataset))]
    start = time.process_time()
    for clip, first, references, *_ in places:
        bare(clip.folder / "video.mp4", [*range(first, first + WINDOW.frames), *references.tolist()])
    return time.process_time() - start


def time_loader(dataset: WindowDataset, epoch: int, workers: int) -> float:
    """Seconds for an epoch's batches: of the processor, or by the clock with workers, whose start does not count."""
    clock = time.perf_counter if workers else time.process_time
    at = [0]
    sampler = StreamSampler(dataset, 8, len(dataset), seed=dataset.seed, position=lambda: at[-1])
    loader = make_loader(dataset, 8, workers, sampler=sampler)
    if workers:
        for _ in loader:
            pass
    at.append(epoch * len(dataset))
    start = clock()
    for _ in loader:
        pass
    return clock() - start


def main() -> int:
    """Print the ratios; status 1 if the loader takes more than `LIMIT` times as long in one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="prepared folder with a train split (default: one made on the spot)")
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = WindowDataset(options.root or make_corpus(Path(folder)), WINDOW, "train", options.windows)
        time_loader(dataset, 0, 0), time_bare(dataset, 0)  # files into the cache, code into memory
        rounds = [(time_bare(dataset, epoch), time_loader(dataset, epoch, 0)) for epoch in range(options.rounds)]
        ratio = statistics.median(loaded / decoded for decoded, loaded in rounds)
        decoded = statistics.median(decoded for decoded, _ in rounds) / options.windows
        print(f"bare decode        {1000 * decoded:7.1f} ms a window")
        print(f"loader, 0 workers  {1000 * ratio * decoded:7.1f} ms a window  ratio {ratio:.2f}  (limit {LIMIT})")
        for workers in options.workers:
            seconds = statistics.median(time_loader(dataset, epoch, workers) for epoch in range(3)) / options.windows
            print(f"loader, {workers} workers  {1000 * seconds:7.1f} ms a window  ratio {seconds / decoded:.2f}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
