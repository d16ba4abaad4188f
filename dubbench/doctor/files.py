"""FFmpeg's libraries, and the pretrained files: what is here, what is not, and what that costs."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from dubbench.doctor.finding import Finding
from dubbench.media.codecs import codec_faults, ffmpeg_libraries

LANDMARKS = "face_landmarker.task"
COSTS = {
    "syncnet_v2.model": "sync_c, sync_d, av_offset stay empty",
    "sfd_face.pth": "sync_c, sync_d, av_offset stay empty where sync is pipeline",
    "example.avi": "SyncNet cannot be tried on its own check clip",
    "pt_inception-2015-12-05-6726825d.pth": "fid, kid stay empty",
    "alexnet-owt-7be5be79.pth": "lpips_alex stays empty",
    "vgg16-397923af.pth": "lpips_vgg stays empty",
    "vgg19-dcbb9e9d.pth": "radio, personatalk, realtalk, g4g cannot be trained as published; tiny ones can",
    "w600k_r50.onnx": "csim stays empty",
    "det_10g.onnx": "csim cannot be held against faces that are detected anew",
    "w600k_mbf.onnx": "csim by this embedder stays empty",
    "MobileFaceNet.onnx": "csim by this embedder stays empty",
    LANDMARKS: "no face is found by mediapipe 0.10.30 or later: no prepare, eval, score, dub",
    "koniq_pretrained.pkl": "clips cannot be scored by --quality hyperiqa; own needs no file",
    "hubert-base-ls960.bin": "personatalk, realtalk cannot be trained as published; tiny ones can",
}


def ffmpeg() -> Iterator[Finding]:
    """FFmpeg as PyAV carries it; no verb runs a program of that name."""
    if find_spec("av") is None:
        return  # which the packages tell
    try:
        version, libraries = ffmpeg_libraries()
        faults = codec_faults()
    except ImportError as error:
        yield Finding(
            topic="FFmpeg",
            text=f"PyAV cannot load its libraries: {str(error).splitlines()[0]}",
            state="broken",
            name="av",
            cost="no video can be read or written",
            remedy="pip install --force-reinstall --only-binary av av",
            essential=True,
        )
        return
    shown = ", ".join(f"{name} {libraries[name]}" for name in ("libavcodec", "libavformat") if name in libraries)
    text, facts = f"{version} in PyAV ({shown})", {"ffmpeg": version, "libraries": libraries, "faults": faults}
    if not faults:
        yield Finding(topic="FFmpeg", text=f"{text}: H.264 and AAC are written and read", facts=facts)
        return
    said = "; ".join(f"{codec} fails ({fault})" for codec, fault in faults.items())
    yield Finding(
        topic="FFmpeg",
        text=f"{text}: {said}",
        state="broken",
        name="av",
        cost="prepare, eval, dub and demo can write no video",
        remedy="pip install --force-reinstall --only-binary av av",
        essential=True,
        facts=facts,
    )


def cache() -> Path | None:
    """The folder of the cache; None where the package that knows it is missing."""
    try:
        from dubbench.core.folders import cache_folder

        return cache_folder()
    except ImportError:
        return None


def assets() -> Iterator[Finding]:
    """Pretrained files."""
    try:
        from dubbench.assets import store

        found = store.status()
    except ImportError as error:
        yield Finding(topic="assets", text=f"cannot be looked for: {error}", state="broken")
        return
    here = [status.asset.name for status in found if status.state == "here"]
    yield Finding(topic="assets", text=f"{len(here)} of {len(found)} are here", facts={"here": here})
    for status in found:
        asset = status.asset
        if status.state == "here" or (asset.name == LANDMARKS and _solutions()):
            continue
        gone = status.state == "absent"
        yield Finding(
            topic="assets",
            text="" if gone else status.fault,
            state="missing" if gone else "broken",
            name=asset.name,
            cost=COSTS.get(asset.name, f"without it, no {asset.needed_by}"),
            remedy="" if asset.manual else f"dubbench assets pull {asset.name}",
            essential=asset.name == LANDMARKS and find_spec("mediapipe") is not None,
        )


def _solutions() -> bool:
    """Whether the installed mediapipe carries its own model of landmarks."""
    spec = find_spec("mediapipe")
    return bool(spec and spec.origin and (Path(spec.origin).parent / "python" / "solutions" / "face_mesh.py").is_file())
