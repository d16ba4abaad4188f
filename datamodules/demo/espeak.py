"""One sentence through the espeak-ng library, as a script: JSON in, JSON out, nothing but the standard library.

It runs as a process of its own because the library keeps state from sentence to sentence, even across
``espeak_Terminate``: only a fresh process says the same sentence with the same samples.
"""

import base64
import ctypes
import json
import sys

SYNCHRONOUS = 2
PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 0x1, 0x2, 0x8000
EVENT_END, EVENT_PHONEME = 0, 7
RATE, PITCH, RANGE = 1, 3, 4
UTF8 = 1


class Identity(ctypes.Union):
    """The last field of an event: which member holds depends on the event's type."""

    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", Identity),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


def speak(library: str, folder: str, text: str, voice: str, pitch: int, rate: int) -> dict[str, object]:
    """Synthesise ``text``.

    Args:
        library: path of the shared library.
        folder: folder that holds ``espeak-ng-data``; the library cuts paths at 160 characters.
        text: the sentence.
        voice: language and variant, such as ``en-us+f2``.
        pitch: 0 to 100.
        rate: words a minute.

    Returns:
        ``rate`` in Hz, ``samples`` (base64 of int16 little-endian) and ``phonemes``, pairs of first sample and IPA.
    """
    espeak = ctypes.CDLL(library)
    samples = bytearray()
    phonemes: list[tuple[int, str]] = []

    def collect(wave: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[Event]") -> int:
        if wave and count:
            samples.extend(ctypes.string_at(wave, 2 * count))
        i = 0
        while events[i].type != EVENT_END:
            if events[i].type == EVENT_PHONEME:
                phonemes.append((events[i].sample, events[i].id.string.decode("utf-8", "ignore")))
            i += 1
        return 0

    hertz = espeak.espeak_Initialize(SYNCHRONOUS, 0, folder.encode(), PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT)
    if hertz <= 0:
        raise SystemExit(f"espeak-ng does not find its data in {folder}")
    callback = CALLBACK(collect)
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_SetVoiceByName(voice.encode()):
        raise SystemExit(f"espeak-ng has no voice {voice}")
    for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, 60)):
        espeak.espeak_SetParameter(parameter, value, 0)
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))  # seeded by the clock otherwise
    encoded = text.encode()
    if espeak.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, UTF8, None, None) or espeak.espeak_Synchronize():
        raise SystemExit("espeak-ng refused the sentence")
    if not samples or not phonemes:
        raise SystemExit("espeak-ng said nothing")
    return {"rate": hertz, "samples": base64.b64encode(samples).decode(), "phonemes": phonemes}


if __name__ == "__main__":
    json.dump(speak(**json.load(sys.stdin)), sys.stdout)
