"""What every record of results says of how they came about."""

import platform
from collections.abc import Iterable

import av
import cv2
import numpy as np
import torch

from dubbench import __version__
from dubbench.metrics.catalogue import DEFINITIONS

PACKAGES = (torch, np, av, cv2)


def definitions(metrics: Iterable[str]) -> dict[str, dict[str, str | int]]:
    """By metric: definition, unit, good direction and version."""
    chosen = {name: DEFINITIONS[name] for name in metrics}
    return {
        name: {"text": d.text, "unit": d.unit, "better": d.better, "version": d.version} for name, d in chosen.items()
    }


def versions(landmarks: str) -> dict[str, str]:
    """Of this package and of those that decide digits; ``landmarks`` is the detector's name and version."""
    return {
        "dubbench": __version__,
        "python": platform.python_version(),
        "landmarks": landmarks,
        **{package.__name__: str(package.__version__) for package in PACKAGES},
    }
