"""Ways to spoil a file: each takes a random generator, a whole film's bytes and its suffix, and gives other bytes."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Harm = Callable[[random.Random, bytes, str], bytes]
EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF0000, 16_384, 1_000_000)
# Boxes of ISO files that hold others, and how many bytes of their own stand before those.
NESTED = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"edts": 0, b"dinf": 0, b"stsd": 8, b"udta": 0}
NESTED |= {b"avc1": 78, b"mp4v": 78, b"mp4a": 28}
EBML = {b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0", b"\xe1", b"\x15\x49\xa9\x66"}
EBML |= {b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b", b"\xbb", b"\xb7"}
RIFF = (".avi", ".wav")
TS = 188


@dataclass(frozen=True)
class Piece:
    """A box, chunk, element or packet: where it starts, where what it holds starts, where it ends, and its siblings."""

    start: int
    inside: int
    stop: int
    family: int


def pieces(data: bytes, suffix: str) -> list[Piece]:
    """What a container consists of, at every depth."""
    if suffix in (".mp4", ".mov", ".m4a"):
        return list(_boxes(data, 0, len(data)))
    if suffix in RIFF:
        return list(_chunks(data, 12, len(data)))
    if suffix in (".mkv", ".webm"):
        return list(_elements(data, 0, len(data)))
    step = TS if suffix == ".ts" else 256
    return [Piece(at, at + 4, at + step, 0) for at in range(0, len(data) - step, step)]


def _boxes(data: bytes, start: int, stop: int) -> Iterator[Piece]:
    at = start
    while at + 8 <= stop:
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if not 8 <= size <= stop - at:
            return
        yield Piece(at, at + 8, at + size, start)
        if name in NESTED:
            yield from _boxes(data, at + 8 + NESTED[name], at + size)
        at += size


def _chunks(data: bytes, start: int, stop: int) -> Iterator[Piece]:
    at = start
    while at + 8 <= stop:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = min(at + 8 + size + size % 2, stop)
        yield Piece(at, at + 8, end, start)
        if data[at : at + 4] == b"LIST":
            yield from _chunks(data, at + 12, end)
        at = end


def _elements(data: bytes, start: int, stop: int) -> Iterator[Piece]:
    at = start
    while at + 2 <= stop and data[at]:
        name = data[at : at + 9 - data[at].bit_length()]
        place = at + len(name)
        if place >= stop or not data[place]:
            return
        wide = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + wide], "big") & (1 << 7 * wide) - 1
        inside = place + wide
        end = min(inside + size, stop)
        yield Piece(at, inside, end, start)
        if name in EBML:
            yield from _elements(data, inside, end)
        at = end


def truncated(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Cut off at a random byte."""
    return data[: rng.randrange(1, len(data))]


def flipped(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Some bits flipped anywhere."""
    return _flipped(rng, data, range(len(data)), rng.choice((1, 8, 64, 512)))


def flipped_header(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Some bits flipped in what tells of the streams."""
    heads = [piece for piece in pieces(data, suffix) if piece.stop - piece.start < 4096] or [Piece(0, 0, 512, 0)]
    piece = rng.choice(heads[:60])
    return _flipped(rng, data, range(piece.start, min(piece.stop, len(data))), rng.choice((1, 3, 9)))


def _flipped(rng: random.Random, data: bytes, places: range, count: int) -> bytes:
    spoilt = bytearray(data)
    for _ in range(count):
        spoilt[rng.choice(places)] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def swapped(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Two boxes side by side in each other's place."""
    found = pieces(data, suffix)
    families: dict[int, list[Piece]] = {}
    for piece in found:
        families.setdefault(piece.family, []).append(piece)
    several = [family for family in families.values() if len(family) > 1]
    if not several:
        return truncated(rng, data, suffix)
    one, two = sorted(rng.sample(rng.choice(several), 2), key=lambda piece: piece.start)
    between = data[one.stop : two.start]
    return data[: one.start] + data[two.start : two.stop] + between + data[one.start : one.stop] + data[two.stop :]


def lost(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Without one of its boxes."""
    piece = rng.choice(pieces(data, suffix))
    return data[: piece.start] + data[piece.stop :]


def doubled(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """With one of its boxes twice."""
    piece = rng.choice(pieces(data, suffix))
    return data[: piece.stop] + data[piece.start :]


def declared(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """A number of a header, such as a size, a length, a rate or a count, made extreme."""
    heads = [piece for piece in pieces(data, suffix) if 1 <= piece.stop - piece.inside < 4096][:80]
    piece = rng.choice(heads)
    room = piece.stop - piece.inside
    wide = rng.choice([width for width in (1, 2, 4) if width <= room])
    at = piece.inside + rng.randrange(0, room - wide + 1, wide)
    number = rng.choice(EXTREMES) & (1 << 8 * wide) - 1
    return data[:at] + _bytes(number, wide, suffix) + data[at + wide :]


def resized(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """A box that says another length of itself."""
    piece = rng.choice(pieces(data, suffix)[:80])
    at = piece.start + (4 if suffix in RIFF else 0)
    return data[:at] + _bytes(rng.choice(EXTREMES), 4, suffix) + data[at + 4 :]


def _bytes(number: int, wide: int, suffix: str) -> bytes:
    return number.to_bytes(wide, "little" if suffix in RIFF else "big")


def wrong_header(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """The first bytes of another format, or of none."""
    heads = (
        b"RIFF\xff\xff\xff\xffAVI LIST", b"\0\0\0\x20ftypisom", b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01", b"OggS\0\2",
        b"\0\0\1\xba\x44\0\4\0", b"FLV\1\5\0\0\0\x09", b"#EXTM3U\n", b"\x89PNG\r\n\x1a\n", b"PK\3\4", b"<?xml version",
        rng.randbytes(16),
    )  # fmt: skip
    head = rng.choice(heads)
    return head + data[len(head) :]


def zeroed(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """A part overwritten with zeros."""
    start = rng.randrange(len(data))
    length = min(rng.choice((64, 2048, 20_000)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def noisy(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """A part overwritten with noise."""
    start = rng.randrange(len(data))
    length = min(rng.choice((64, 2048, 20_000)), len(data) - start)
    return data[:start] + rng.randbytes(length) + data[start + length :]


def noise(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Noise, some of it behind a true beginning."""
    return data[: rng.choice((0, 12, 64, 1024))] + rng.randbytes(rng.choice((1, 188, 5000, 60_000)))


def empty(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """No byte at all."""
    return b""


def zeros(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """Zeros alone, as long as the file."""
    return bytes(len(data))


def gap(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """A part in the middle taken out."""
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 100, 5000)) :]


def repeated(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """A part in the middle twice."""
    start = rng.randrange(len(data))
    return data[: start + rng.choice((1, 188, 5000))] + data[start:]


def joined(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """The same file twice, one after the other."""
    return data + data


def trailing(rng: random.Random, data: bytes, suffix: str) -> bytes:
    """With noise behind its end."""
    return data + rng.randbytes(5000)


HARMS: dict[str, Harm] = {
    "truncated": truncated,
    "bits flipped": flipped,
    "header bits flipped": flipped_header,
    "boxes swapped": swapped,
    "box lost": lost,
    "box twice": doubled,
    "extreme number": declared,
    "box length": resized,
    "wrong header": wrong_header,
    "zeros inside": zeroed,
    "noise inside": noisy,
    "noise": noise,
    "empty": empty,
    "zeros": zeros,
    "part missing": gap,
    "part twice": repeated,
    "joined to itself": joined,
    "noise behind": trailing,
}
