"""Time `dubbench prepare` against the bare library calls it cannot avoid: python benchmarks/prepare.py [VIDEO...].

Both run in one process in turns, on the same video (by default a photograph that sways, 512 x 512 pixels, with sound).
The bare side decodes with PyAV, runs MediaPipe's face mesh, warps with OpenCV and encodes H.264 all-intra at the same
settings, frame by frame, and does nothing else: no hash, no sound, no track, no files put in place. Both have their
detector loaded before. Compared is processor time, which other programs disturb little. With --memory MINUTES, the peak
memory of preparing a clip that long is compared with that of 10 seconds, each in a process of its own. Exit status 1 if
a limit is missed.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from skimage import data

from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.prepare.clip import PrepareJob, PrepareOptions, face_mesh, prepare_clip
from dubbench.datamodules.prepare.run import prepare
from dubbench.datamodules.sources import RawClip

RATIO_LIMIT = 1.3
MEMORY_LIMIT = 100  # MiB
SIZE = 512
# What it takes to get colours in and out without losing a grey level.
TO_RGB = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
TO_YUV = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


def make_video(path: Path, seconds: float, side: int) -> Path:
    """A photograph that sways, 25 fps, with a tone."""
    photograph = data.astronaut()[:340, 40:420]  # type: ignore[no-untyped-call]  # scikit-image has no types
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "16"})
        video.width = video.height = side
        sound = out.add_stream("aac", rate=16_000, layout="mono")
        for k in range(round(25 * seconds)):
            shift = 20 + round(20 * np.sin(k / 7))
            rgb = cv2.resize(photograph[:, shift : shift + 340], (side, side), interpolation=cv2.INTER_AREA)
            out.mux(video.encode(VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
            wave = 0.3 * np.sin(0.08 * np.arange(640 * k, 640 * k + 640)).astype(np.float32)
            block = AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, 640 * k, Fraction(1, 16_000)
            out.mux(sound.encode(block))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return path


def bare(path: Path, out: Path, transforms: NDArray[np.float64], size: int, mesh: Any) -> int:  # noqa: ANN401
    """Decode, mesh, warp, encode; returns the number of frames."""
    count = 0
    mesh.reset()
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        source.streams.video[0].thread_type = "AUTO"
        stream = target.add_stream("libx264", rate=25)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "10", "preset": "ultrafast", "g": "1", "bf": "0"}
        to_rgb, to_yuv = VideoReformatter(), VideoReformatter()
        for count, frame in enumerate(source.decode(video=0), 1):
            rgb = to_rgb.reformat(frame, format="rgb24", interpolation=TO_RGB, threads=1).to_ndarray()
            mesh.process(rgb)
            transform = transforms[min(count, len(transforms)) - 1]
            square = cv2.warpAffine(rgb, transform, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            picture = VideoFrame.from_ndarray(np.asarray(square, np.uint8), format="rgb24")
            picture = to_yuv.reformat(picture, format="yuv420p", interpolation=TO_YUV, threads=1)
            picture.pts = count
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return count


def whole(path: Path, out: Path, size: int) -> PreparedClip:
    """What `prepare` does for a clip."""
    options = PrepareOptions(
        dataset="folder", size=size, align="ffhq", smooth=0.0, faces="one", versions={"mesh": face_mesh().backend}
    )
    job = PrepareJob(
        raw=RawClip(out.name, "speaker", path),
        split="train",
        root=path.parent,
        out=out.parent,
        options=options,
        number=0,
    )
    outcome = prepare_clip(job, lambda frames: None)
    if outcome.info is None:
        raise SystemExit(f"{path}: {outcome.reason}")
    return PreparedClip(out.parent, out.name)


def timed(action: Callable[[], object]) -> float:
    """Processor seconds."""
    start = time.process_time()
    action()
    return time.process_time() - start


def ratio(path: Path, folder: Path, rounds: int, size: int) -> float:
    """Print and return prepare's time over the bare calls' time, the median of some rounds."""
    import mediapipe

    transforms = whole(path, folder / "first", size).transforms()
    mesh = mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=2, refine_landmarks=True)
    mesh.process(np.zeros((64, 64, 3), np.uint8))
    ratios = []
    for k in range(rounds):
        ours = timed(lambda k=k: whole(path, folder / f"clip{k}", size))  # type: ignore[misc]  # mypy#12557
        theirs = timed(lambda: bare(path, folder / "bare.mp4", transforms=transforms, size=size, mesh=mesh))
        ratios.append(ours / theirs)
        print(
            f"{path.name}: prepare {1000 * ours / len(transforms):.1f} ms a frame, "
            f"bare {1000 * theirs / len(transforms):.1f}, ratio {ours / theirs:.3f}"
        )
    return statistics.median(ratios)


def peak(seconds: float) -> float:
    """Peak memory in MiB of a process that prepares one clip."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(seconds)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def peak_here(seconds: float) -> None:
    """Prepare one clip made by another process, and print this process' peak memory in MiB."""
    with tempfile.TemporaryDirectory() as name:
        corpus, out = Path(name) / "corpus", Path(name) / "out"
        corpus.mkdir()
        maker = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import prepare; "
        maker += "prepare.make_video(Path(sys.argv[2]), float(sys.argv[3]), 192)"
        arguments = [str(Path(__file__).parent), str(corpus / "clip.mp4"), str(seconds)]
        subprocess.run([sys.executable, "-c", maker, *arguments], check=True)
        report = prepare("folder", corpus, out, size=128, smooth=2)
        if report.done != 1:
            raise SystemExit(report.failures[0].reason)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, help="videos to time on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--memory", type=float, metavar="MINUTES", help="compare memory instead")
    parser.add_argument("--peak", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        peak_here(given.peak)
        return 0
    if given.memory:
        short, long = peak(10), peak(60 * given.memory)
        print(
            f"peak memory: {short:.0f} MiB for 10 s, {long:.0f} MiB for {given.memory:g} min; limit {MEMORY_LIMIT} more"
        )
        return int(long - short > MEMORY_LIMIT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = given.videos or [make_video(folder / "sway.mp4", 4, 512)]
        medians = [ratio(path, folder / "prepared" / str(k), given.rounds, given.size) for k, path in enumerate(videos)]
    print(f"ratio {max(medians):.3f} (limit {RATIO_LIMIT})")
    return int(max(medians) > RATIO_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
