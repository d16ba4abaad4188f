"""Nothing but plain files is opened, whatever they are called, and nothing beyond reason."""

import socket
import wave
from pathlib import Path

import numpy as np
import pytest

from dubbench.media import MediaError
from dubbench.media.audio import aligned_speech, read_speech, write_sound, write_speech
from dubbench.media.clock import clock_of
from dubbench.media.planes import layout_of, read_planes
from dubbench.media.segments import PlaneWriter, join, reorder
from dubbench.media.video import IndexedVideo, VideoWriter, probe, read_frames
from tests.media.conftest import number, picture
from tests.media.movies import movie

NAMES = [
    "12:30.mp4",
    "50%d.mp4",
    "100%.mp4",
    "[a].mp4",
    "-y.mp4",
    "file:x.mp4",
    "http:127.0.0.1:9?x.mp4",
    "pipe:0.mp4",
    "a|b.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_path_for_reading_and_writing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = movie(tmp_path / "plain.mp4", frames=8, sound="aac", seconds=(0.1,))
    monkeypatch.chdir(tmp_path)
    path, beside = Path(name), Path(f"o{name}")
    path.write_bytes(source.read_bytes())
    assert [number(frame) for frame in read_frames(path)] == list(range(8))
    assert probe(path).has_audio
    assert aligned_speech(path).any()
    assert read_speech(path).any()
    with VideoWriter(beside, 192, 32, intra=True) as writer:
        for k in range(4):
            writer.write(picture(k))
    with IndexedVideo(beside) as video:
        assert number(video.read([3])[0]) == 3
    reorder(beside, [2, 0], path)
    assert [number(frame) for frame in read_frames(path)] == [2, 0]
    layout = layout_of(source)
    with PlaneWriter(path, layout, 10) as planes:
        for frame in read_planes(source, layout):
            planes.write(frame)
    sound = Path(f"{name}.mka")
    write_sound(source, sound)
    join([path], sound, beside, {})
    assert [number(frame) for frame in read_frames(beside)] == list(range(8))
    assert aligned_speech(beside).any()


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        name = f"http:127.0.0.1:{server.getsockname()[1]}?x.mpg"
        Path(name).write_bytes(b"no video" * 99)
        for use in (probe, aligned_speech, read_speech, layout_of, clock_of, lambda p: list(read_frames(p))):
            with pytest.raises(MediaError, match="not a media file"):
                use(Path(name))
        with pytest.raises(TimeoutError):
            server.accept()


LISTS = {
    "concat": "ffconcat version 1.0\nfile film.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfilm.ts\n#EXT-X-ENDLIST\n",
    "itself": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nlist.mp4\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="0" bandwidth="1"><BaseURL>film.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".wav"])
def test_what_names_other_files_is_no_media_file(kind: str, suffix: str, tmp_path: Path) -> None:
    movie(tmp_path / "film.mp4", frames=5)
    movie(tmp_path / "film.ts", sound="aac", frames=5)
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[kind].replace("list.mp4", path.name))
    for use in (probe, read_speech, lambda p: list(read_frames(p))):
        with pytest.raises(MediaError, match="not a media file"):
            use(path)


def test_a_pattern_of_pictures_is_a_path(tmp_path: Path) -> None:
    import cv2

    for k in range(5):
        cv2.imwrite(str(tmp_path / f"p{k}.png"), picture(k))
    with pytest.raises(MediaError, match="is not a file"):
        list(read_frames(tmp_path / "p%d.png"))
    with pytest.raises(MediaError, match="not a media file"):
        probe(tmp_path / "p0.png")


def edited(path: Path, ticks: int) -> Path:
    """Give the first track of an mp4 so many ticks a second."""
    data = bytearray(path.read_bytes())
    at = data.index(b"mdhd") + 16
    data[at : at + 4] = ticks.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def wav(path: Path, rate: int, channels: int) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setparams((channels, 2, rate, 0, "NONE", ""))
        out.writeframes(np.ones(rate // 100 * channels, np.int16).tobytes())
    return path


def test_what_is_declared_beyond_reason_has_a_sentence(tmp_path: Path) -> None:
    long = movie(tmp_path / "long.mkv", frames=5, sound=None)
    data = long.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # duration in milliseconds, as a double
    long.write_bytes(data[:at] + np.array(11 * 3_600_000.0, ">f8").tobytes() + data[at + 8 :])
    cases = {
        r"length of 11\.0 hours; less than 10": long,
        r"frames a second; at most 1000": edited(movie(tmp_path / "fast.mp4", frames=5, sound=None), 2**31 - 1),
        r"384000 Hz": wav(tmp_path / "rate.wav", 384_000, 1),
        r"64 channels of sound \(64 channels\)": wav(tmp_path / "many.wav", 16_000, 64),
        r"pictures of 16384 x 16": movie(tmp_path / "wide.avi", "ffv1", frames=1, sound=None, size=(16_384, 16)),
        r"pictures of 8000 x 5000.*35389440 pixels": movie(
            tmp_path / "big.avi", "mjpeg", frames=1, sound=None, size=(8000, 5000)
        ),
    }
    for sentence, path in cases.items():
        with pytest.raises(MediaError, match=sentence):
            (probe if path.suffix != ".wav" else lambda p: write_speech(p, tmp_path / "o.wav", 5, apart=True))(path)


def test_texts_in_a_file_need_not_be_utf8(tmp_path: Path) -> None:
    """The name of a track's handler, as programs of other encodings and flipped bits leave it."""
    path = movie(tmp_path / "name.mov", frames=8, seconds=(0.1,))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"VideoHandler", b"Vid\xe9oHandler").replace(b"Lavf", b"\xffavf"))
    assert path.read_bytes() != data
    assert [number(frame) for frame in read_frames(path)] == list(range(8))
    assert aligned_speech(path).any()
    path.write_bytes(path.read_bytes().replace(b"sowt", b"qqqq"))
    with pytest.raises(MediaError, match="has sound in the codec 'qqqq'"):
        aligned_speech(path)
