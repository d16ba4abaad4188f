"""``dubbench figure``: attention maps, robustness to the reference, frame strips, styles, openings of mouths."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from dubbench.commands import add_video_root
from dubbench.core.config_names import names
from dubbench.core.console import announce, command, ending, report
from dubbench.core.files import output_file
from dubbench.errors import DubbenchError

OF_THE_VERB = ("kind", "words", "constructors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the kinds of figures, each with the options that its module's ``make`` takes."""
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    for name, (summary, declare) in KINDS.items():
        kind = kinds.add_parser(name, help=summary, description=summary)
        declare(kind)
        kind.add_argument("--out", required=True, type=output_file, metavar="PNG")


def _attention_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ckpt_path", required=True, type=Path, help="checkpoint of a method with attention maps (RADIO)"
    )
    _add_clip(parser)
    parser.add_argument("--frame", type=int, default=20, help="that is dubbed (%(default)s)")
    parser.add_argument("--reference", type=int, default=0, help="frame that is the reference (%(default)s)")
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="I,J",
        help="of Att_I,J: decoder layer, attention layer (the last of each decoder layer)",
    )
    _add_device(parser)


def _robustness_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ckpt_path", required=True, type=Path, help="a method's checkpoint")
    _add_clip(parser)
    parser.add_argument("--references", required=True, metavar="K,K,...", help="frames that are the reference in turn")
    parser.add_argument("--frames", metavar="K,K,...", help="frames to show (five, evenly)")
    parser.add_argument("--protocol", default="first_frame", help=f"{', '.join(names('protocol'))}, or a YAML file")
    parser.add_argument("--sync_expert", type=Path, metavar="CKPT", help="checkpoint behind sync_similarity (none)")
    parser.add_argument("--style_encoder", type=Path, metavar="CKPT", help="checkpoint behind style_sim (none)")
    parser.add_argument("--source_root", type=Path, metavar="DIR", help="where the corpus lies, if it moved")
    _add_device(parser)
    parser.add_argument("--csv", type=output_file, metavar="FILE", help="write every value, and the spreads")


def _strip_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, help="folders that dubbench eval wrote")
    parser.add_argument("--clip", required=True, help="id of a clip in them")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="only these (all, ground truth first)")
    add_video_root(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--frames", metavar="K,K,...", help="numbers of the frames")
    which.add_argument("--count", type=int, default=8, help="so many, evenly over the clip (%(default)s)")
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--zoom", choices=("face", "mouth"), help="show the face or the mouth of the first row, in all rows"
    )
    part.add_argument(
        "--box", nargs=4, type=int, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"), help="show this part, in pixels"
    )


def _styles_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="*", type=Path, help="folders of dubbench eval whose videos are shown too")
    add_video_root(parser)
    parser.add_argument("--ckpt_path", type=Path, metavar="CKPT", help="draw this method's own styles (PersonaTalk)")
    parser.add_argument(
        "--style_encoder", type=Path, metavar="CKPT", help="draw, also beside them, those of the encoder of style_sim"
    )
    parser.add_argument(
        "--root", required=True, type=Path, help="folder of prepared clips; with geometry, without results"
    )
    parser.add_argument(
        "--hop", type=int, default=6, help="frames from one stretch of the encoder's to the next (%(default)s)"
    )
    _add_device(parser)


def _openings_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, help="folders of dubbench eval under a cross protocol")
    parser.add_argument("--clip", required=True, help="id of a clip in them")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="only these, in this order (all)")


def _add_clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", required=True, type=Path, help="folder of prepared clips")
    parser.add_argument("--clip", required=True, help="id of a clip in it")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")


KINDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "attention": ("where patches of RADIO's lower half look in the reference (its Figure 5)", _attention_options),
    "robustness": (
        "one clip dubbed with several references, and the spread of each metric (RADIO's Figure 4)",
        _robustness_options,
    ),
    "strip": ("frames of several methods on one clip, a row a method", _strip_options),
    "openings": ("whom mouths follow: how far they are open beside driver and source over time", _openings_options),
    "styles": ("speaking styles in the plane by t-SNE (PersonaTalk's Figure 5)", _styles_options),
}


def run(options: argparse.Namespace) -> int:
    """Draw a figure by the ``make`` of its kind's module in `dubbench.figures`.

    Raises:
        DubbenchError: if ``--out`` does not end in .png, or as the figures do.
    """
    if options.out.suffix.lower() != ".png":
        raise DubbenchError(f"{options.out} does not end in .png, which is what figures are written as")
    chosen = {name: value for name, value in vars(options).items() if name not in OF_THE_VERB}
    announce(f"figure {options.kind}")
    import_module(f"dubbench.figures.{options.kind}").make(**chosen)
    report(str(options.out))
    strip = ["figure", "strip", "RESULTS", "--clip", getattr(options, "clip", "CLIP"), "--out", "strip.png"]
    study = ["study", "make", *getattr(options, "results", ()), "--out", "study"]
    ending(look=str(options.out), following=command(study if options.kind == "strip" else strip))
    return 0
