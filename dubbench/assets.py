"""Pretrained files: where they are looked for, and their fingerprints."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dubbench.errors import DubbenchError
from dubbench.files import sha256


@dataclass(frozen=True)
class Asset:
    """A pretrained file that we may not or need not ship.

    Attributes:
        name: file name.
        needed_by: what asks for it.
        digest: sha256 of the file.
        size: bytes.
        url: where its makers offer it.
        licence: of the weights.
    """

    name: str
    needed_by: str
    digest: str
    size: int
    url: str
    licence: str


ASSETS = {
    asset.name: asset
    for asset in (
        Asset(
            "vgg19-dcbb9e9d.pth",
            "the perceptual loss (perceptual: vgg19)",
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            574_673_361,
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            "BSD-3-Clause",
        ),
        Asset(
            "face_landmarker.task",
            "face landmarks with mediapipe 0.10.30 or later",
            "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            3_758_596,
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
            "face_landmarker.task",
            "Apache-2.0",
        ),
    )
}


def folders() -> list[Path]:
    """Where assets are looked for: the folder that ``DUBBENCH_ASSETS`` names, then the user's cache."""
    named = os.environ.get("DUBBENCH_ASSETS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dubbench" / "assets"
    return [*([Path(named)] if named else []), cache]


def find(name: str) -> Path:
    """Path of the asset ``name``, its bytes verified.

    Raises:
        DubbenchError: if it is nowhere, or its sha256 is not the recorded one.
    """
    asset = ASSETS[name]
    for folder in folders():
        path = folder / name
        if path.is_file():
            _verify(path, path.stat().st_mtime_ns, asset.digest)
            return path
    raise DubbenchError(
        f"{name} for {asset.needed_by} is not here; download it from {asset.url} into {folders()[-1]}, "
        "or name the folder that holds it in DUBBENCH_ASSETS"
    )


@lru_cache
def _verify(path: Path, changed: int, digest: str) -> None:
    """Hash a file once a process and modification time: the large ones take seconds."""
    if sha256(path) != digest:
        raise DubbenchError(f"{path} is damaged or another version: its sha256 is not {digest[:12]}...; fetch it again")
