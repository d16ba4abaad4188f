"""``dubbench dub``: give a video other speech, at its own resolution."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.commands import parse_faces
from dubbench.core.config_names import class_of_model
from dubbench.core.console import announce, command, ending, report, say
from dubbench.core.devices import PRECISIONS, autocast_type, device
from dubbench.core.files import no_room, output_file
from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    from dubbench.face.choice import Box
    from dubbench.models.base import DubbingModel

MARK = "AI-generated lip movements"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME",
        help="the method's short name, to be sure, or the class of one of yours (default: what the checkpoint says)",
    )
    add("--ckpt_path", required=True, type=Path, metavar="FILE", help="checkpoint of a trained method")
    add("--video", required=True, type=Path, metavar="V", help="video of the speaker, of any length and size")
    add("--audio", required=True, type=Path, metavar="A", help="speech: any file with sound, another video too")
    add("--out", required=True, type=output_file, metavar="O", help="file to write: .mp4, .mov or .mkv")
    add(
        "--face",
        default="largest",
        metavar="WHICH",
        help="largest, or X,Y,W,H: the face in this box of the first frame with any, in pixels (%(default)s)",
    )
    add(
        "--length",
        default="longer",
        choices=("longer", "shorter", "video", "speech"),
        help="how long the result is; a video that is too short goes back and forth, speech that is gets silence, and "
        "what is too long is cut (%(default)s: nothing is)",
    )
    add("--size", type=int, metavar="S", help="side of the aligned frames in pixels (default: the method's own)")
    add("--crf", type=int, default=17, help="quality of x264: 0 is lossless, 17 looks it, 51 is worst (%(default)s)")
    add("--mark", nargs="?", const=MARK, metavar="TEXT", help=f"draw a visible mark into every frame ({MARK!r})")
    add("--keep", action="store_true", help="leave the work folder, O.work, for a look or for more of the same")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")
    add("--precision", choices=PRECISIONS, default="float32", help="of autocast (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Dub and say what came of it.

    Raises:
        DubbenchError: if an option cannot be used, the disk is full, or as `dubbench.dubbing.dub.dub` does.
    """
    face = _face(options.face)
    announce(f"dub {options.video} with {options.audio}")
    from dubbench.dubbing.dub import DubOptions, dub
    from dubbench.media import FPS
    from dubbench.models.load import load_model

    where = device(options.device)
    model = load_model(options.ckpt_path, named=options.model)
    _check_name(options.model, model, options.ckpt_path)
    how = DubOptions(
        face=face,
        length=options.length,
        size=options.size,
        crf=options.crf,
        mark=options.mark,
        precision=autocast_type(options.precision),
        keep=options.keep,
    )
    try:
        made = dub(
            model.to(where).eval(),
            checkpoint=options.ckpt_path,
            video=options.video,
            audio=options.audio,
            out=options.out,
            options=how,
            progress=_shown,
            say=say,
        )
    except (OSError, DubbenchError) as error:
        if not no_room(error):
            raise
        raise DubbenchError(
            f"no room left to write {options.out} and its work folder; make room and give the same command again, it "
            "goes on where it was"
        ) from error
    without = f", {made.faceless} of them without the face and untouched" if made.faceless else ""
    length = f"{made.frames} frames ({made.frames / FPS:.1f} s)"
    report(f"{options.out}: {length}{without}, dubbed in {made.seconds:.0f} s, a face of {made.face:.0f} px")
    pair = ["--pred", options.out, "--target", options.video, "--length", "prefix"]
    ending(
        output=str(options.out),
        look=f"{options.out} beside {options.video}",
        following=command(["score", *pair, "--audio", options.audio, "--metrics", "sync_c", "sync_d", "av_offset"]),
    )
    return 0


def _face(text: str) -> "Box | None":
    """The box of ``--face``; None for the largest face."""
    faces = parse_faces(text, "--face", ("largest",))
    return None if isinstance(faces, str) else faces


def _check_name(name: str | None, model: "DubbingModel", path: Path) -> None:
    """See that a model that was named is the checkpoint's own."""
    from dubbench.models.base import class_path

    if name is None:
        return
    named = class_of_model(name)
    if named != class_path(type(model)):
        raise DubbenchError(
            f"{path} holds a {class_path(type(model))}, but --model {name} is a {named}; name the checkpoint's own "
            "model or leave --model out"
        )


@contextmanager
def _shown(step: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how a step over frames goes."""
    from dubbench.core.progress import counted

    with counted(f"{step:8}", "frames") as progress:
        task = progress.add_task("", total=total or None)
        yield lambda frames: progress.update(task, advance=frames, refresh=True)
