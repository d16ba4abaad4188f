"""The demo corpus, made on the spot: one real photograph that speaks espeak-ng's sentences in three languages.

``<speaker>/<sentence>.mp4`` (320 x 320, 25 fps, speech) and beside it ``<speaker>/<sentence>.viseme.csv`` with the
columns ``frame,opening``: how far the lips are open in that frame, 0 closed to 1 as in "ah".
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.core.files import write_json, write_text
from dubbench.core.progress import tracked
from dubbench.datamodules.demo.portraits import ASTRONAUT, SIZE, Portrait
from dubbench.datamodules.sources import RawClip
from dubbench.datamodules.sources.about import About
from dubbench.errors import DubbenchError
from dubbench.media import FPS

if TYPE_CHECKING:
    from dubbench.datamodules.demo.face import TalkingFace

LAYOUT = "<speaker>/<sentence>.mp4; an empty or new folder is filled"
ABOUT = About(
    title="demo",
    paper="made by this package",
    obtain="Nothing: dubbench prepare --dataset demo --root NEW_FOLDER makes it from a photograph that comes with "
    "scikit-image and from espeak-ng (pip install 'dubbench[demo]').",
    licence="public domain (a photograph of NASA's)",
    size="24 clips of 1 speaker",
    fps=(25.0,),
    frames=((320, 320),),
    crop="square around the head",
    speech="in the videos",
    speaker="the folder",
    split="configs/split/demo.csv",
    labels="a .viseme.csv a clip: how far the lips are open",
    label=".viseme.csv",
)
VERSION = 2
MARKER = "demo.json"
SENTENCES = {
    "de-1": ("de", "Am Abend laufen wir oft vom Bahnhof zum alten Markt."),
    "de-2": ("de", "Mein Bruder fährt im August mit dem Boot über den Fluss."),
    "de-3": ("de", "Um acht Uhr kommt der blaue Bus aus Hamburg an."),
    "de-4": ("de", "Meine Mutter mag warme Suppe und frisches Brot."),
    "de-5": ("de", "Oben am Berg blüht der alte Apfelbaum."),
    "de-6": ("de", "Habt ihr morgen Abend Zeit für uns?"),
    "de-7": ("de", "Vater malt am Fenster ein buntes Bild vom Wald."),
    "de-8": ("de", "Am Ofen wartet ein warmer Apfelkuchen."),
    "en-1": ("en-us", "The bold boy put a small apple above the wall."),
    "en-2": ("en-us", "My father warms the big room before we all move out."),
    "en-3": ("en-us", "Please bring me a bottle of water from the farm."),
    "en-4": ("en-us", "Five brown birds flew over the empty beach."),
    "en-5": ("en-us", "We may have to open the window before lunch."),
    "en-6": ("en-us", "Tom bought a map of Paris for his mother."),
    "en-7": ("en-us", "Nobody heard the marvellous opera in the park."),
    "en-8": ("en-us", "Both of them came home after the match."),
    "en-9": ("en-us", "A warm bath and a book, what more could I want?"),
    "es-1": ("es", "Mi abuelo compra pan y fruta para toda la familia."),
    "es-2": ("es", "Por la mañana bebo un vaso de agua fría."),
    "es-3": ("es", "La ventana abierta da a una plaza muy amplia."),
    "es-4": ("es", "Mañana vamos a ver el mar con mi hermana."),
    "es-5": ("es", "El tambor y la flauta abren la fiesta."),
    "es-6": ("es", "Pablo no puede abrir la puerta verde."),
    "es-7": ("es", "Bajo el árbol duerme un perro blanco."),
}
"""Language and text of each sentence."""


def find(root: Path) -> Iterator[RawClip]:
    """Yield the corpus' clips, making first what is not there yet.

    Raises:
        DubbenchError: as `make`.
    """
    make(root, seed=int(_marker(root).get("seed", 0)))
    for sentence in SENTENCES:
        yield RawClip(f"{ASTRONAUT.speaker}/{sentence}", ASTRONAUT.speaker, _video(root, ASTRONAUT, sentence))


def make(root: Path, seed: int = 0) -> None:
    """Make the corpus below ``root``; clips that are there already stay as they are, so a killed run goes on.

    Args:
        root: a new or empty folder, or one that this function has begun with the same seed.
        seed: of the head motion; equal seeds give equal files.

    Raises:
        DubbenchError: if ``root`` holds anything else, or a package of the extra ``demo`` is missing.
    """
    ours = {"corpus": "demo", "version": VERSION, "seed": seed}
    found = _marker(root)
    if found and found != ours:
        raise DubbenchError(f"{root} holds a demo corpus of another version or seed; remove it or name a new folder")
    if not found and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DubbenchError(f"{root} is no demo corpus and not empty; name a new folder for it")
    wanted = [sentence for sentence in SENTENCES if not _video(root, ASTRONAUT, sentence).is_file()]
    if not wanted:
        return
    write_json(root / MARKER, ours)
    face = talking_face(ASTRONAUT)
    for sentence in tracked(wanted, "Making the demo corpus", transient=True):
        make_clip(_video(root, ASTRONAUT, sentence), ASTRONAUT, face=face, sentence=sentence, seed=seed)


def talking_face(portrait: Portrait) -> "TalkingFace":
    """Cut a portrait and find its landmarks.

    Raises:
        DubbenchError: if the photograph is not there or no face is found in it.
    """
    from dubbench.datamodules.demo.face import TalkingFace
    from dubbench.face.landmarks import FaceMesh

    photo = portrait.photo()
    with FaceMesh(max_faces=1) as mesh:
        faces = mesh.detect(photo)
    if not faces:
        raise DubbenchError(f"no face was found in scikit-image's {portrait.file}; install mediapipe==0.10.21")
    return TalkingFace(photo, faces[0])


def make_clip(video: Path, portrait: Portrait, face: "TalkingFace", sentence: str, seed: int) -> None:
    """Write one clip with its viseme track; the video comes last and tells that the clip is finished."""
    import numpy as np

    from dubbench.datamodules.demo.face import head_pose
    from dubbench.datamodules.demo.speech import synthesise
    from dubbench.datamodules.demo.visemes import mouth_track
    from dubbench.media.video import VideoWriter

    language, text = SENTENCES[sentence]
    speech = synthesise(text, f"{language}+{portrait.voice}", portrait.pitch, portrait.rate)
    mouth = mouth_track(speech.phonemes, speech.frames)
    phases = np.random.default_rng([seed, *f"{portrait.speaker}/{sentence}".encode()]).uniform(0, 2 * np.pi, 8)
    rows = "".join(f"{frame},{opening:.4f}\n" for frame, opening in enumerate(mouth.opening))
    write_text(video.with_suffix(".viseme.csv"), f"frame,opening\n{rows}")
    with VideoWriter(video, SIZE, SIZE, speech=speech.waveform) as writer:
        for frame, (opening, width) in enumerate(zip(mouth.opening.tolist(), mouth.width.tolist(), strict=True)):
            writer.write(face.render(opening, width, head_pose(frame / FPS, phases)))


def _video(root: Path, portrait: Portrait, sentence: str) -> Path:
    return root / portrait.speaker / f"{sentence}.mp4"


def _marker(root: Path) -> dict[str, int | str]:
    """What `make` noted about ``root``; empty if it has not begun there."""
    path = root / MARKER
    if not path.is_file():
        return {}
    try:
        found: dict[str, int | str] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DubbenchError(f"{path} is damaged; remove {root} and have the corpus made anew") from error
    return found
