"""``dubbench export``: a trained network as an ONNX file, checked against PyTorch before it appears."""

import argparse
from pathlib import Path

from dubbench.core.console import announce, command, ending, report
from dubbench.core.files import output_file
from dubbench.errors import DubbenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--ckpt_path", required=True, type=Path, metavar="FILE", help="checkpoint of dubbench fit")
    parser.add_argument("--out", required=True, type=output_file, metavar="FILE.onnx", help="where to write")


def run(options: argparse.Namespace) -> int:
    """Export what a checkpoint's model has to export, and print the file's inputs and outputs.

    Raises:
        DubbenchError: if the model has nothing to export, or as `dubbench.training.onnx_export.export` does.
    """
    if options.out.suffix != ".onnx":
        raise DubbenchError(f"--out {options.out} does not end in .onnx; give a file that does")
    announce(f"export {options.ckpt_path}")
    from dubbench.models.load import load_model
    from dubbench.training.onnx_export import axes, export

    network, inputs, outputs = load_model(options.ckpt_path).exportable()
    difference = export(network, inputs, outputs, options.out)
    sides = ", ".join(f"{name} {axes(tensor)}" for name, tensor in inputs.items())
    report(f"{options.out}: {sides} -> {', '.join(outputs)}; differs from PyTorch by {difference:.1e} at most")
    weights = ["--ckpt_path", options.ckpt_path]
    ending(
        output=str(options.out),
        following=command(["dub", *weights, "--video", "VIDEO", "--audio", "SPEECH", "--out", "dubbed.mp4"]),
    )
    return 0
