"""What is damaged is counted and told, and beyond a share refused: pictures, packets of sound, tracks."""

from pathlib import Path

import av
import numpy as np
import pytest

from dubbench.media import MediaError
from dubbench.media.audio import aligned_speech, read_speech, write_sound, write_speech
from dubbench.media.flaws import Flaws
from dubbench.media.video import read_frames
from tests.media.conftest import number, onsets
from tests.media.movies import CLICKS, movie


def spoilt(path: Path, kind: str, numbers: list[int], *, keys: bool = False) -> Path:
    """Overwrite packets of the first stream of a kind, or so many of its keyframes."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        packets = [(p.pos, p.size) for p in container.demux(stream) if p.size and (p.is_keyframe or not keys)]
    data = bytearray(path.read_bytes())
    for pos, size in (packets[k] for k in numbers):
        data[pos : pos + size] = b"\xff" * size if kind == "audio" else bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.avi", "libx264")])
def test_frames_from_a_lost_keyframe_to_the_next_are_counted(name: str, codec: str, tmp_path: Path) -> None:
    path = spoilt(movie(tmp_path / name, codec, gop=8, sound=None), "video", [4], keys=True)
    flaws = Flaws()
    assert len(list(read_frames(path, flaws=flaws))) == 100
    assert flaws.damaged == 8
    assert "8 of 100 frames are damaged" in flaws.sentences()[0]
    worse = spoilt(path, "video", [5], keys=True)
    with pytest.raises(MediaError, match=r"damaged in 16 of 100 frames, more than 10%"):
        list(read_frames(worse))


def test_a_damaged_frame_of_which_no_other_depends_is_one(tmp_path: Path) -> None:
    path = spoilt(movie(tmp_path / "a.avi", "mjpeg", sound=None), "video", [40, 70])
    flaws = Flaws()
    assert len(list(read_frames(path, flaws=flaws))) == 100
    assert flaws.damaged == 2


@pytest.mark.parametrize(
    ("name", "sound", "length"),
    [("a.mp4", "aac", 1024), ("a.avi", "libmp3lame", 1152), ("a.mp4", "libmp3lame", 1152)],
)
def test_a_damaged_packet_is_silence_of_its_length(name: str, sound: str, length: int, tmp_path: Path) -> None:
    whole = movie(tmp_path / name, sound=sound)
    before = onsets(aligned_speech(whole))
    spoilt(whole, "audio", [60, 90])  # at 1.3 and 1.9 s: no click lies there
    flaws = Flaws()
    speech = aligned_speech(whole, flaws)
    np.testing.assert_allclose(onsets(speech), before, atol=1e-3)
    assert flaws.spoilt == 2
    # Where no container says how long a packet is, a broken header takes the next frame with it.
    assert flaws.silence * 48_000 in (2 * length, *([4 * length] if sound == "libmp3lame" else []))
    assert "2 of" in flaws.sentences()[0]


def test_sound_that_is_mostly_damaged_is_refused(tmp_path: Path) -> None:
    path = spoilt(movie(tmp_path / "a.mp4", sound="aac"), "audio", list(range(40, 80)))
    with pytest.raises(MediaError, match=r"damaged in 40 of \d+ packets of sound, more than 10%"):
        aligned_speech(path)
    with pytest.raises(MediaError, match="packets of sound"):
        write_speech(path, tmp_path / "out.wav", 100)
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(("codec", "sound"), [("mpeg2video", "mp2"), ("libx264", "aac")])
def test_a_stream_recorded_from_its_middle_begins_at_the_first_whole_frames(
    codec: str, sound: str, tmp_path: Path
) -> None:
    path = movie(tmp_path / "a.ts", codec, sound=sound)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 // 188 * 188 + 188 :])
    flaws = Flaws()
    shown = [number(frame) for frame in read_frames(path, flaws=flaws)]
    assert shown[0] > 10
    assert shown == list(range(shown[0], 100))
    wanted = [click - shown[0] / 25 for click in CLICKS if click > shown[0] / 25]
    np.testing.assert_allclose(onsets(aligned_speech(path, flaws)), wanted, atol=1e-3)


def tracks(path: Path, *sounds: tuple[str, float, bool]) -> Path:
    """A film with several tracks: codec, time of the click, and whether it is marked default."""
    plain = movie(path.with_suffix(".v.mkv"), sound=None)
    parts = [movie(path.with_suffix(f".{k}.mkv"), sound=codec, seconds=(t,)) for k, (codec, t, _) in enumerate(sounds)]
    with av.open(str(path), "w") as out:
        copies = []
        for k, part in enumerate([plain, *parts]):
            given = av.open(str(part))
            kind = given.streams.audio if k else given.streams.video
            stream = out.add_stream_from_template(kind[0])
            if k:
                flag = stream.disposition.__class__.default if sounds[k - 1][2] else stream.disposition.__class__(0)
                stream.disposition = flag
            copies += [(packet, stream) for packet in given.demux(kind[0]) if packet.size]
        for packet, stream in copies:
            packet.stream = stream
            out.mux(packet)
    return path


def test_the_default_track_is_heard(tmp_path: Path) -> None:
    path = tracks(tmp_path / "a.mkv", ("aac", 0.5, False), ("libmp3lame", 1.5, True))
    np.testing.assert_allclose(onsets(read_speech(path)), [1.5], atol=0.03)
    path = tracks(tmp_path / "b.mkv", ("aac", 0.5, True), ("libmp3lame", 1.5, False))
    np.testing.assert_allclose(onsets(read_speech(path)), [0.5], atol=0.03)


def unknown(path: Path) -> Path:
    """Rename the codec of a film's PCM to one that nobody knows."""
    data = path.read_bytes()
    assert b"sowt" in data
    path.write_bytes(data.replace(b"sowt", b"qqqq"))
    return path


def test_another_track_is_heard_where_the_first_has_no_decoder(tmp_path: Path) -> None:
    path = unknown(tracks(tmp_path / "a.mov", ("pcm_s16le", 0.5, True), ("aac", 1.5, False)))
    np.testing.assert_allclose(onsets(read_speech(path)), [1.5], atol=0.03)


def test_sound_without_a_decoder_is_named(tmp_path: Path) -> None:
    path = unknown(movie(tmp_path / "a.mov", sound="pcm_s16le"))
    for use in (aligned_speech, read_speech, lambda p: write_sound(p, tmp_path / "o.mka")):
        with pytest.raises(MediaError, match=r"a\.mov has sound in the codec 'qqqq', which cannot be decoded"):
            use(path)


@pytest.mark.parametrize(("sound", "form"), [("aac", "mp4"), ("libmp3lame", "mp3"), ("flac", "flac")])
def test_a_suffix_says_nothing(sound: str, form: str, tmp_path: Path) -> None:
    source = movie(tmp_path / "s.mkv", sound=sound)
    path = tmp_path / "really.wav"
    with av.open(str(source)) as given, av.open(str(path), "w", format=form) as out:
        stream = out.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    np.testing.assert_allclose(onsets(read_speech(path)), CLICKS, atol=0.06)


def test_silence_is_told(tmp_path: Path) -> None:
    path = movie(tmp_path / "a.mkv", sound="pcm_s16le", seconds=())
    for read in (aligned_speech, lambda p, f: write_speech(p, tmp_path / "o.wav", 100, flaws=f)):
        flaws = Flaws()
        read(path, flaws)
        assert flaws.sentences() == ["its sound is silent from beginning to end"]
