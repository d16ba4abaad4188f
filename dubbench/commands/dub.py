"""``dubbench dub``: give a video other speech, at its own resolution."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from dubbench.commands.speed import PRECISIONS
from dubbench.core.config_names import resolve
from dubbench.core.console import say
from dubbench.core.devices import device
from dubbench.core.files import no_room
from dubbench.core.progress import counted
from dubbench.dubbing import Box, Options, dub
from dubbench.dubbing.clips import Span
from dubbench.errors import DubbenchError
from dubbench.media import FPS
from dubbench.models.base import DubbingModel, class_path, load_model

MARK = "AI-generated lip movements"


def main(args: Sequence[str]) -> int:
    """Dub as the command line says, say what came of it, and return the exit status."""
    given = _parser().parse_args(list(args))
    face = _face(given.face)
    where = device(given.device)
    model = load_model(given.ckpt_path, named=given.model)
    _check_name(given.model, model, given.ckpt_path)
    options = Options(
        face=face,
        length=given.length,
        size=given.size,
        crf=given.crf,
        mark=given.mark,
        precision=PRECISIONS[given.precision],
        keep=given.keep,
    )
    try:
        report = dub(model.to(where).eval(), given.ckpt_path, given.video, given.audio, given.out, options, _shown, say)
    except (OSError, DubbenchError) as error:
        if not no_room(error):
            raise
        raise DubbenchError(
            f"no room left to write {given.out} and its work folder; make room and give the same command again, it "
            "goes on where it was"
        ) from error
    without = f", {report.faceless} of them without the face and untouched" if report.faceless else ""
    print(
        f"{given.out}: {report.frames} frames ({report.frames / FPS:.1f} s){without}, dubbed in {report.seconds:.0f} s"
    )
    return 0


def _face(text: str) -> Box | None:
    """The box of ``--face``; None for the largest face."""
    if text == "largest":
        return None
    try:
        left, top, width, height = (float(side) for side in text.split(","))
    except ValueError as error:
        raise DubbenchError(f"--face {text} is no box; give largest or X,Y,W,H in pixels") from error
    if not (width > 0 and height > 0):
        raise DubbenchError(f"--face {text} is an empty box; give X,Y,W,H with a width and a height")
    return left, top, width, height


def _check_name(name: str | None, model: DubbingModel, path: Path) -> None:
    """See that a model that was named is the checkpoint's own."""
    if name is None:
        return
    named = resolve("model", name)
    if named.endswith((".yaml", ".yml")):
        if not Path(named).is_file():
            raise DubbenchError(f"--model {name} is not there; give a method's short name or leave it out")
        named = str(yaml.safe_load(Path(named).read_text(encoding="utf-8"))["class_path"])
    if named != class_path(type(model)):
        raise DubbenchError(
            f"{path} holds a {class_path(type(model))}, but --model {name} is a {named}; name the checkpoint's own "
            "model or leave --model out"
        )


@contextmanager
def _shown(step: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how a step over frames goes, on a terminal."""
    with counted(f"{step:8}", "frames") as progress:
        task = progress.add_task("", total=total or None)
        yield lambda frames: progress.update(task, advance=frames, refresh=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dubbench dub", description=__doc__)
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME",
        help="the method's short name, to be sure, or the class of one of yours (default: what the checkpoint says)",
    )
    add("--ckpt_path", required=True, type=Path, metavar="FILE", help="checkpoint of a trained method")
    add("--video", required=True, type=Path, metavar="V", help="video of the speaker, of any length and size")
    add("--audio", required=True, type=Path, metavar="A", help="speech: any file with sound, another video too")
    add("--out", required=True, type=Path, metavar="O", help="file to write: .mp4, .mov or .mkv")
    add(
        "--face",
        default="largest",
        metavar="WHICH",
        help="largest, or X,Y,W,H: the face in this box of the first frame with any, in pixels (%(default)s)",
    )
    add(
        "--length",
        default="longer",
        choices=list(Span.RULES),
        help="how long the result is; a video that is too short goes back and forth, speech that is gets silence, and "
        "what is too long is cut (%(default)s: nothing is)",
    )
    add("--size", type=int, metavar="S", help="side of the aligned frames in pixels (default: the method's own)")
    add("--crf", type=int, default=17, help="quality of x264: 0 is lossless, 17 looks it, 51 is worst (%(default)s)")
    add("--mark", nargs="?", const=MARK, metavar="TEXT", help=f"draw a visible mark into every frame ({MARK!r})")
    add("--keep", action="store_true", help="leave the work folder, O.work, for a look or for more of the same")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")
    add("--precision", choices=list(PRECISIONS), default="float32", help="of autocast (%(default)s)")
    return parser
