# ruff: noqa: RUF001  (the letters of the phonetic alphabet are meant)
import sys
import time
from itertools import product

import numpy as np
import pytest

from dubbench.datamodules.demo.portraits import ASTRONAUT
from dubbench.datamodules.demo.speech import MARGIN, Phoneme, Speech, synthesise
from dubbench.datamodules.demo.visemes import VISEMES, letters, mouth_track
from dubbench.datamodules.sources.demo import SENTENCES
from dubbench.errors import DubbenchError
from tests.data.speakers import SPEAKERS

TEXT = "My father warms the big room before we all move out."


@pytest.fixture(scope="module")
def speech() -> Speech:
    return synthesise(TEXT, "en-us+f2")


@pytest.fixture(scope="module")
def spoken() -> list[Speech]:
    """Every sentence of the corpus, and one of each language in the permuted speakers' voices."""
    said = [(ASTRONAUT, sentence) for sentence in SENTENCES]
    said += product(SPEAKERS[1:], ("de-1", "en-1", "es-1"))
    return [
        synthesise(SENTENCES[sentence][1], f"{SENTENCES[sentence][0]}+{speaker.voice}", speaker.pitch, speaker.rate)
        for speaker, sentence in said
    ]


def loudness(speech: Speech, phoneme: Phoneme) -> float:
    """Root mean square of the middle half of a phoneme."""
    quarter = (phoneme.end - phoneme.start) / 4
    first, last = (round(16_000 * t) for t in (phoneme.start + quarter, phoneme.end - quarter))
    return float(np.sqrt(np.mean(speech.waveform[first:last] ** 2)))


def test_samples_do_not_depend_on_the_clock_or_on_what_was_said_before(speech: Speech) -> None:
    synthesise("Something else.", "en-us+f2")
    time.sleep(1.1)  # espeak-ng seeds its noise by the second
    again = synthesise(TEXT, "en-us+f2")
    assert np.array_equal(speech.waveform, again.waveform)
    assert speech.phonemes == again.phonemes


def test_a_clip_is_whole_frames_with_silence_around_and_two_to_five_seconds_long(spoken: list[Speech]) -> None:
    for speech in spoken:
        assert len(speech.waveform) == 640 * speech.frames
        assert 2 <= speech.frames / 25 <= 5
        margin = int(16_000 * (MARGIN - 0.005))
        assert np.abs(speech.waveform[:margin]).max() < 1e-3
        assert np.abs(speech.waveform[-margin:]).max() < 1e-3
        assert np.abs(speech.waveform).max() == pytest.approx(0.5)


def test_phonemes_are_timed_where_they_sound(speech: Speech) -> None:
    vowels = [loudness(speech, p) for p in speech.phonemes if letters(p.ipa) and letters(p.ipa)[0] in "ɑaɔuæ"]
    plosives = [loudness(speech, p) for p in speech.phonemes if letters(p.ipa) in tuple("bptf")]
    assert len(vowels) >= 5
    assert len(plosives) >= 4
    assert min(vowels) > max(plosives)


def test_phonemes_follow_each_other_and_fill_the_speech(speech: Speech) -> None:
    assert speech.phonemes[0].start == pytest.approx(MARGIN)
    ends = [p.end for p in speech.phonemes]
    assert ends[:-1] == [p.start for p in speech.phonemes[1:]]
    sounding = np.flatnonzero(np.abs(speech.waveform) > 0.01)[-1] / 16_000
    assert sounding <= ends[-1] <= speech.frames / 25 - MARGIN + 0.04


def test_every_sound_of_the_corpus_has_a_viseme_and_lips_meet_at_p_b_m(spoken: list[Speech]) -> None:
    for speech in spoken:
        assert {letter for p in speech.phonemes for letter in letters(p.ipa)} <= VISEMES.keys()
        opening = mouth_track(speech.phonemes, speech.frames).opening
        for phoneme in speech.phonemes:
            if letters(phoneme.ipa) in tuple("pbm"):
                frames = opening[int(phoneme.start * 25) : int(phoneme.end * 25) + 1]
                assert frames.min() < 0.03, phoneme
        assert opening.max() > 0.5
        assert opening[0] == pytest.approx(0, abs=0.01)
        assert opening[-1] == pytest.approx(0, abs=0.01)


def test_a_held_vowel_reaches_its_viseme_and_the_mouth_rests_around_it() -> None:
    track = mouth_track([Phoneme("ˈɑː", 0.6, 1.4)], 50)
    middle = np.abs((np.arange(50) + 0.5) / 25 - 1)
    assert track.opening[middle < 0.2] == pytest.approx(1)
    assert track.opening[middle > 0.6] == pytest.approx(0)
    assert track.opening == pytest.approx(track.opening[::-1], abs=0.08)


def test_a_closure_between_vowels_closes_and_rounding_narrows() -> None:
    track = mouth_track([Phoneme("a", 0.4, 0.8), Phoneme("m", 0.8, 0.88), Phoneme("u", 0.88, 1.4)], 40)
    assert track.opening[20] == pytest.approx(0, abs=0.01)
    assert track.opening[15] > 0.9
    assert track.opening[28] == pytest.approx(VISEMES["u"].opening, abs=0.01)
    assert track.width[28] == pytest.approx(-1, abs=0.01)


def test_a_diphthong_goes_from_its_first_vowel_to_its_second() -> None:
    track = mouth_track([Phoneme("ˈaɪ", 0.4, 1.2)], 40)
    assert track.opening[14] == pytest.approx(VISEMES["a"].opening, abs=0.02)
    assert track.opening[25] == pytest.approx(VISEMES["ɪ"].opening, abs=0.02)


def test_a_short_pause_holds_the_mouth_and_a_long_one_closes_it() -> None:
    short = mouth_track([Phoneme("a", 0.4, 0.8), Phoneme("", 0.8, 0.88), Phoneme("a", 0.88, 1.3)], 40)
    assert short.opening[15:27].min() > 0.95
    long = mouth_track([Phoneme("a", 0.4, 0.8), Phoneme("", 0.8, 1.2), Phoneme("a", 1.2, 1.5)], 40)
    assert long.opening[24] < 0.05


def test_an_unknown_voice_and_a_missing_package_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DubbenchError, match="no voice klingon-x"):
        synthesise(TEXT, "klingon-x")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DubbenchError, match=r"pip install dubbench\[demo\]"):
        synthesise(TEXT, "en-us")
