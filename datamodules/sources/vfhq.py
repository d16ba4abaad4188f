"""VFHQ (Xie et al. 2022): ``Clip+<YouTube id>+P<person>+C<clip>+F<first>-<last>.mp4``, made with sound by the user."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = "Clip+<YouTube id>+P<person>+C<clip>+F<first>-<last>.mp4, videos with sound under the names of meta_info"
ABOUT = About(
    title="VFHQ",
    paper="Xie et al., VFHQ: A High-Quality Dataset and Benchmark for Video Face Super-Resolution, CVPRW 2022",
    obtain="As liangbinxie.github.io/projects/vfhq gives it, VFHQ is picture frames without sound, of no use for "
    "dubbing. Take its meta_info instead: each Clip+...txt names the YouTube video, frame rate (FPS), frames (F) "
    "and box (CROP x0 y0 x1 y1) at the size H, W; fetch the video with sound, cut and crop it, and keep the name.",
    licence="as its page says; the videos stay their owners'",
    size="over 16,000 clips of interviews, and 50 for test",
    fps=(),
    frames=(),
    crop="nearly square around the head, 512 x 512 or more",
    speech="nowhere in the frames; in the videos that the user makes, where the person speaks at all",
    speaker="the person of a video (YouTube id and P)",
    split="by the hash of the person; which clips are VFHQ's own test set is not used",
    labels="meta_info: a .txt a clip; not needed any more",
)


def find(root: Path) -> Iterator[RawClip]:
    """Yield the clips below ``root``."""
    for path, match in ending(root, r"(?P<clip>Clip\+(?P<person>[\w-]{11}\+P\d+)\+C\d+\+F\d+-\d+)"):
        yield RawClip(match["clip"], match["person"], path)
