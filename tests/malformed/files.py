"""Folders of malformed files beside whole ones, the same ones for the same seed."""

import random
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.data.videos import blank, portraits, write
from tests.malformed import films
from tests.malformed.harm import HARMS

WHOLE = "none: a whole file"
# Sixteen-bit sides of a picture in JPEG, twelve-bit ones in MPEG.
HUGE_JPEG, HUGE_MPEG = b"\xff\xdc\xff\xdc", b"\xff\xff\xff"


@dataclass(frozen=True)
class Malformed:
    """A file: its kind, its name, whether it is sound alone, and whether it must be read all the same."""

    kind: str
    name: str
    sound: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Corpus:
    """Folders of one run.

    Attributes:
        pictures: films below a folder, malformed and whole ones.
        twins: whole films of the same names as the malformed ones.
        talk: a corpus that keeps sound apart: whole silent films with malformed sound beside them.
        sounds: the malformed sound files.
        whole: a whole film with its sound.
        files: all of them.
    """

    pictures: Path
    twins: Path
    talk: Path
    sounds: Path
    whole: Path
    files: tuple[Malformed, ...]


def corpus(root: Path, count: int, seed: int, names: Iterable[str] = films.FILMS) -> Corpus:
    """Write ``count`` malformed files, every kind in turn, of random films, and the whole films beside them.

    ``names`` are those of `films.FILMS` that they are made of.
    """
    rng = random.Random(seed)
    made, heard = films.films(root / "films", names), films.sounds(root / "films")
    silent = films.silent_film(root / "films" / "silent.mp4")
    folders = root / "pictures", root / "twins", root / "talk", root / "sounds"
    for folder in folders:
        folder.mkdir(parents=True)
    pictures, twins, talk, sounds = folders
    kinds = [*HARMS, *MADE]
    files: list[Malformed] = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        if kind in HARMS and number // len(kinds) % 3 == 2:
            source = heard[rng.choice(sorted(heard))]
            name = f"{number:03}{source.suffix}"
            spoilt = HARMS[kind](rng, source.read_bytes(), source.suffix)
            (sounds / name).write_bytes(spoilt)
            _beside(talk, number, silent, sounds / name)
            files.append(Malformed(kind, name, sound=True))
            continue
        source = made[rng.choice(sorted(made))]
        target = pictures / f"{number:03}{source.suffix}"
        if kind in HARMS:
            target.write_bytes(HARMS[kind](rng, source.read_bytes(), source.suffix))
        else:
            target = MADE[kind](rng, source, target)
        _copy(source, twins / f"{number:03}{source.suffix}")
        files.append(Malformed(kind, target.name, whole=kind == "wrong suffix"))
    for number, (film, path) in enumerate({**made, **heard}.items(), count):
        name = f"{number:03}{path.suffix}"
        if film in heard:
            _copy(path, sounds / name)
            _beside(talk, number, silent, path)
        else:
            _copy(path, pictures / name)
            _copy(path, twins / name)
        files.append(Malformed(WHOLE, name, sound=film in heard, whole=True))
    return Corpus(pictures, twins, talk, sounds, made["h264.mp4"], tuple(files))


def sentence(number: int) -> str:
    """Where the corpus that keeps sound apart has a sentence; its clip id ends so."""
    return f"front/neutral/level_1/{number}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _beside(talk: Path, number: int, film: Path, sound: Path) -> None:
    """A silent film with sound beside it, as MEAD has them; the sentence's number tells which."""
    _copy(film, talk / f"M001/video/{sentence(number)}.mp4")
    _copy(sound, talk / f"M001/audio/{sentence(number).removeprefix('front/')}{sound.suffix}")


def _sound_alone(rng: random.Random, source: Path, target: Path) -> Path:
    return films.sound_alone(target)


def _one_picture(rng: random.Random, source: Path, target: Path) -> Path:
    """A picture with a film's name, or a film of one picture."""
    (image,) = portraits(1)
    how = rng.choice((".jpg", ".png", ".bmp", ".webp", ""))
    if not how:
        return write(target.with_suffix(".mp4"), [image])
    target.write_bytes(cv2.imencode(how, image)[1].tobytes())
    return target


def _wrong_suffix(rng: random.Random, source: Path, target: Path) -> Path:
    named = target.with_suffix(rng.choice([s for s in (".mp4", ".mkv", ".avi", ".wmv", ".ts") if s != source.suffix]))
    shutil.copy(source, named)
    return named


def _huge_pictures(rng: random.Random, source: Path, target: Path) -> Path:
    """A film whose pictures themselves, rather than its container, declare huge sides."""
    films_here = [path for path in sorted(source.parent.iterdir()) if path.stem in ("mjpeg", "mpeg1", "mpeg2")]
    film = rng.choice(films_here)
    data = film.read_bytes()
    if film.stem == "mjpeg":
        data = re.sub(rb"(\xff\xc0\x00\x11\x08)....", lambda m: m[1] + HUGE_JPEG, data, flags=re.DOTALL)
    else:
        data = re.sub(rb"(\x00\x00\x01\xb3)...", lambda m: m[1] + HUGE_MPEG, data, flags=re.DOTALL)
    named = target.with_suffix(film.suffix)
    named.write_bytes(data)
    return named


def _vast(rng: random.Random, source: Path, target: Path) -> Path:
    """A film of large or lopsided pictures that are truly there."""
    return films.vast(target.with_suffix(".avi"), *rng.choice(((8000, 4400), (16_000, 16), (16, 16_000), (2, 2))))


def _display_matrix(rng: random.Random, source: Path, target: Path) -> Path:
    """Noise for how the picture is turned and for its shape."""
    data = bytearray(source.with_name("h264.mp4").read_bytes())
    at = data.index(b"tkhd")
    data[at + 44 : at + 88] = rng.randbytes(44)
    named = target.with_suffix(".mp4")
    named.write_bytes(data)
    return named


def _other_size(rng: random.Random, source: Path, target: Path) -> Path:
    """Pictures that change their size on the way."""
    named = target.with_suffix(".ts")
    one, two = (films.film(named, portraits(10, side=side)).read_bytes() for side in (128, rng.choice((96, 160))))
    named.write_bytes(one + two)
    return named


def _text(rng: random.Random, source: Path, target: Path) -> Path:
    target.write_text(
        rng.choice(("a note\n", "<html>404</html>\n", "ffconcat version 1.0\nfile whole/h264.mp4\n", "#EXTM3U\nx.ts\n"))
    )
    return target


def _headers_alone(rng: random.Random, source: Path, target: Path) -> Path:
    """A film of no frame, or of fewer than are taken."""
    return films.film(target.with_suffix(".mkv"), blank(rng.choice((1, 4)), side=16), heard=None)


def _noise_shown(rng: random.Random, source: Path, target: Path) -> Path:
    """Pictures of noise."""
    pixels = np.random.default_rng(rng.randrange(1000)).integers(0, 255, (8, 64, 64, 3), np.uint8)
    return films.film(target.with_suffix(".mkv"), list(pixels))


MADE: dict[str, Callable[[random.Random, Path, Path], Path]] = {
    "sound alone": _sound_alone,
    "one picture": _one_picture,
    "wrong suffix": _wrong_suffix,
    "huge pictures": _huge_pictures,
    "vast pictures": _vast,
    "display matrix": _display_matrix,
    "other size midway": _other_size,
    "text": _text,
    "few pictures": _headers_alone,
    "pictures of noise": _noise_shown,
}
