"""The clip that a speed is measured on: one of a prepared folder, or of the demo corpus made for it."""

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from dubbench.core.arrays import read_arrays, write_arrays
from dubbench.core.files import write_json
from dubbench.core.folders import cache_folder
from dubbench.core.locks import claimed
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.geometry import model_path
from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel
from dubbench.models.base import DubbingModel

SENTENCE = "de-1"


def find_clip(root: Path, name: str | None, frames: int) -> PreparedClip:
    """A clip by its id, or the first one with so many frames, or else the longest.

    Raises:
        DubbenchError: if ``root`` is not a prepared folder, is empty, or has no such clip.
    """
    table = read_manifest(root)
    if not len(table):
        raise DubbenchError(f"{root} holds no clip; run dubbench prepare again, failures.csv says what is wrong")
    if name is not None and name not in set(table["clip"]):
        known = ", ".join(sorted(table["clip"])[:3])
        raise DubbenchError(f"{root} has no clip {name!r} but {len(table)} others, such as {known}; choose with --clip")
    if name is None:
        enough = table[table["frames"] >= min(frames, table["frames"].max())]
        name = str(enough.sort_values("clip")["clip"].iloc[0])
    return PreparedClip(root, name)


def demo_clip_of(model: DubbingModel) -> Path:
    """The demo clip, prepared as a model wants it; coefficients mean nothing but to a trained model's face model."""
    return demo_clip(model.aligned_size, model.window.geometry, model.face_model)


def demo_clip(size: int, geometry: str = "", face: LinearFaceModel | None = None) -> Path:
    """Prepare a clip of the demo corpus in the user's cache, unless it is there.

    Another process makes it: what it takes must not show in the measurement.

    Args:
        size: side of the aligned frames.
        geometry: face model that is fitted, empty for none.
        face: take this one instead of learning one from the clip.

    Returns:
        The prepared folder, with one clip.

    Raises:
        DubbenchError: if the extra ``demo`` or the face model's file is not here.
    """
    cache = cache_folder() / "speed"
    root = cache / "-".join(map(str, filter(None, (size, geometry, face and face.hash()))))
    if face is not None and not model_path(root, geometry).is_file():
        root.mkdir(parents=True, exist_ok=True)
        face.save(model_path(root, geometry))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_prepare, cache / "corpus", root, size, geometry).result()
    return root


def _prepare(corpus: Path, root: Path, size: int, geometry: str) -> None:
    """Make and prepare the clip as far as it is not done."""
    from dubbench.datamodules.demo.portraits import ASTRONAUT
    from dubbench.datamodules.prepare.geometry import prepare_geometry
    from dubbench.datamodules.prepare.run import prepare
    from dubbench.datamodules.sources.demo import make_clip, talking_face

    video = corpus / ASTRONAUT.speaker / f"{SENTENCE}.mp4"
    if not video.is_file():
        make_clip(video, ASTRONAUT, talking_face(ASTRONAUT), SENTENCE, seed=0)
    reasons = [failure.reason for failure in prepare("folder", corpus, root, size=size).failures]
    if geometry and not reasons:
        with claimed(root, "prepare"):
            reasons = [failure.reason for failure in prepare_geometry(root, geometry).failures]
    if reasons:
        raise DubbenchError(f"the demo clip could not be prepared ({reasons[0]}); give --root and a clip of your own")


def shortened(clip: PreparedClip, frames: int, folder: Path) -> PreparedClip:
    """The clip's first frames as a clip of their own below ``folder``; the clip itself if it is no longer."""
    if len(clip) <= frames:
        return clip
    out = folder / clip.info.clip
    out.mkdir(parents=True)
    for name in ("video.mp4", "audio.wav"):
        _place(clip.folder / name, out / name)
    for path in (clip.folder / "track.npz", *clip.folder.glob("geometry.*.npz")):
        rows = {k: v[:frames] if v.ndim and len(v) == len(clip) else v for k, v in read_arrays(path).items()}
        write_arrays(out / path.name, rows)
    write_json(out / "clip.json", replace(clip.info, frames=frames, files={}).as_dict())
    return PreparedClip(folder, clip.info.clip)


def _place(file: Path, copy: Path) -> None:
    """Put a file where a clip is read from, which follows no link out of its folder."""
    try:
        copy.hardlink_to(file)
    except OSError:  # another disk
        shutil.copyfile(file, copy)
