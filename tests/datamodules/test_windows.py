import builtins
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from dubbench.datamodules.batch import Batch, Mel, Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.mel import clip_windows
from dubbench.datamodules.stream import SameSampler, StreamSampler
from dubbench.datamodules.windows import Place, WindowDataset, read_windows, reference_frames
from dubbench.errors import DubbenchError
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip, fingerprint

WINDOW = Window(frames=5, references=3, size=SIZE, mel=Mel())
CLIPS = [
    Clip("anna/one", 30),
    Clip("anna/two", 12),
    Clip("bert/one", 40),
    Clip("bert/val", 9, "val"),
    Clip("cleo/s", 4),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.make(tmp_path_factory.mktemp("windows"), CLIPS)


def clip_named(name: str) -> Clip:
    return next(clip for clip in CLIPS if clip.clip == name)


def places(dataset: WindowDataset, epoch: int, index: int) -> tuple[str, int, list[int]]:
    clip, start, references, *_ = dataset[epoch, index]
    return clip.info.clip, start, references.tolist()


def numbers(images: torch.Tensor) -> NDArray[np.int64]:
    """The frame numbers that images [N, 3, H, W] in [-1, 1] show."""
    levels = (images.mean(dim=(1, 2, 3)) + 1) * 127.5
    return ((levels - miniature.grey(0)) / 3).round().long().numpy()


def test_a_part_of_every_clip_gives_windows_and_references(root: Path) -> None:
    early, late = (WindowDataset(root, WINDOW, "train", 60, seed=1, part=part) for part in ((0, 0.6), (0.6, 1)))
    for dataset, first, last in ((early, 0.0, 0.6), (late, 0.6, 1.0)):
        for index in range(60):
            clip, start, references, *_ = dataset[index]
            begin, end = round(first * len(clip)), round(last * len(clip))
            shown = {*range(start, start + WINDOW.frames), *references.tolist()}
            assert begin <= min(shown)
            assert max(shown) < end


@pytest.mark.parametrize("start", [0, 11, 35])
def test_window_holds_what_it_says(root: Path, start: int) -> None:
    clip, references = clip_named("bert/one"), np.array([33, 2, 2])
    batch = read_windows([Place(PreparedClip(root, clip.clip), start, references)], WINDOW)
    targets = np.arange(start, start + 5)
    assert batch.frames.shape == (1, 5, 3, SIZE, SIZE)
    assert batch.frames.dtype == torch.float32
    assert (numbers(batch.frames[0]) == targets).all()
    assert (numbers(batch.references[0]) == references).all()
    exact = (torch.tensor([miniature.grey(k) for k in targets]) / 127.5 - 1)[:, None, None, None]
    assert (batch.frames[0] - exact).abs().max() < 3 / 127.5
    assert (batch.indices[0].numpy() == targets).all()
    assert (batch.reference_indices[0].numpy() == references).all()
    np.testing.assert_allclose(batch.points[0], miniature.aligned_points(clip)[targets], atol=1e-4)
    np.testing.assert_allclose(batch.reference_points[0], miniature.aligned_points(clip)[references], atol=1e-4)
    speech = miniature.speech(clip)
    assert (batch.waveform[0].numpy() == speech[start * 640 : (start + 5) * 640]).all()
    assert batch.mel is not None
    assert torch.equal(batch.mel[0], clip_windows(speech, Mel(), start, start + 5))
    assert (batch.speakers, batch.clips) == (["bert"], ["bert/one"])


def test_only_what_is_asked_for(root: Path) -> None:
    bare = Window(frames=2, references=0, size=SIZE)
    batch = read_windows([Place(PreparedClip(root, "anna/one"), 3, np.array([], dtype=np.int64))], bare)
    assert batch.references.shape == (1, 0, 3, SIZE, SIZE)
    assert batch.reference_points.shape == (1, 0, 68, 2)
    assert batch.mel is None
    assert batch.waveform.shape == (1, 2 * 640)


def test_geometry_follows_the_size(root: Path) -> None:
    clip, half = clip_named("anna/one"), replace(WINDOW, references=1, size=SIZE // 2)
    batch = read_windows([Place(PreparedClip(root, clip.clip), 4, np.array([20]))], half)
    assert batch.frames.shape == (1, 5, 3, SIZE // 2, SIZE // 2)
    np.testing.assert_allclose(batch.points[0], miniature.aligned_points(clip)[4:9] / 2, atol=1e-4)


def test_every_file_is_opened_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()

    def count(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def counting(file: object, *args: object, **options: object) -> object:
            opened[Path(str(file)).name] += 1
            return original(file, *args, **options)

        monkeypatch.setattr(owner, name, counting)

    dataset = WindowDataset(root, WINDOW, "train", length=10)
    for owner, name in [(av, "open"), (io, "open"), (builtins, "open"), (soundfile, "SoundFile")]:
        count(owner, name)
    dataset.collate([dataset[3]])
    monkeypatch.undo()
    assert opened == {"video.mp4": 1, "audio.wav": 1, "track.npz": 1, "clip.json": 1}


def test_frames_outside_the_window_are_not_decoded(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    video = tmp_path / "anna" / "one" / "video.mp4"
    wanted = {4, 5, 6, 7, 8, 20}
    with av.open(str(video)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(video.read_bytes())
    for k, (position, size) in enumerate(packets):
        if k not in wanted:
            content[position : position + size] = b"\xff" * size
    video.write_bytes(content)
    batch = read_windows([Place(PreparedClip(tmp_path, "anna/one"), 4, np.array([20, 20, 4]))], WINDOW)
    assert (numbers(batch.frames[0]) == [4, 5, 6, 7, 8]).all()
    assert (numbers(batch.references[0]) == [20, 20, 4]).all()


def test_references_are_never_target_frames(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=300)
    seen = set()
    for index in range(300):
        clip, start, references, *_ = dataset[index]
        assert not set(references) & set(range(start, start + 5))
        assert len(set(references)) == 3
        seen |= {(clip.info.clip, k) for k in references}
    assert len(seen) == 30 + 12 + 40


def test_references_when_the_clip_is_hardly_longer_than_the_window() -> None:
    random = np.random.default_rng(0)
    assert reference_frames(WINDOW, 0, np.ones(6, bool), random).tolist() == [5, 5, 5]
    assert set(reference_frames(replace(WINDOW, references=50), 0, np.ones(5, bool), random)) == {0, 1, 2, 3, 4}


def test_first_references_are_the_first_frames() -> None:
    rule = replace(WINDOW, reference_rule="first")
    assert reference_frames(rule, 1, np.ones(9, bool), np.random.default_rng(0)).tolist() == [0, 1, 2]
    assert reference_frames(rule, 0, np.ones(2, bool), np.random.default_rng(0)).tolist() == [0, 1, 1]


def test_history_begins_with_the_first_frame_and_goes_on_at_random() -> None:
    rule, usable = replace(WINDOW, reference_rule="history"), np.ones(12, bool)
    drawn = Counter[int]()
    for seed in range(600):
        random = np.random.default_rng(seed)
        references = reference_frames(rule, 4, usable, random).tolist()
        alike = reference_frames(replace(WINDOW, references=2), 4, usable, np.random.default_rng(seed)).tolist()
        assert references == [0, *alike]
        drawn.update(references[1:])
    assert set(drawn) == {0, 1, 2, 3, 9, 10, 11}
    # The first frame is the identity even where it is dubbed; the others never are.
    assert reference_frames(rule, 0, usable, np.random.default_rng(0))[0] == 0
    assert min(reference_frames(rule, 0, usable, np.random.default_rng(0))[1:]) >= 5
    alone = reference_frames(replace(rule, references=1), 4, usable, np.random.default_rng(0))
    assert alone.tolist() == [0]


def test_history_begins_with_the_first_face() -> None:
    rule, usable = replace(WINDOW, reference_rule="history"), np.ones(12, bool)
    usable[:2] = False
    references = reference_frames(rule, 4, usable, np.random.default_rng(0)).tolist()
    assert references[0] == 2
    assert set(references[1:]) <= {2, 3, 9, 10, 11}
    assert reference_frames(rule, 4, np.zeros(12, bool), np.random.default_rng(0))[0] == 0


def test_history_of_a_part_begins_with_its_first_frame(root: Path) -> None:
    rule = replace(WINDOW, reference_rule="history")
    dataset = WindowDataset(root, rule, "train", 20, part=(0.5, 1))
    for index in range(20):
        clip, _, references, *_ = dataset[index]
        assert references[0] == round(0.5 * len(clip))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_only_the_first_references_are_decoded(root: Path, count: int) -> None:
    clip, references = clip_named("bert/one"), [33, 2, 7]
    place = Place(PreparedClip(root, clip.clip), 11, np.array(references))
    some, every = (read_windows([place], replace(WINDOW, reference_pictures=n)) for n in (count, None))
    assert some.references.shape == (1, count, 3, SIZE, SIZE)
    assert some.reference_points.shape == (1, count, 68, 2)
    for field in fields(Batch):
        value, whole = getattr(some, field.name), getattr(every, field.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, whole[:, :count] if field.name in ("references", "reference_points") else whole)


def test_references_that_are_not_shown_are_not_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    original = PreparedClip.frames

    def noting(clip: PreparedClip, frames: Sequence[int], size: int | None = None) -> NDArray[np.uint8]:
        decoded.extend(frames)
        return original(clip, frames, size)

    monkeypatch.setattr(PreparedClip, "frames", noting)
    place = Place(PreparedClip(root, "bert/one"), 11, np.array([33, 2, 7]))
    read_windows([place], replace(WINDOW, pictures=1, reference_pictures=1))
    assert decoded == [13, 33]
    read_windows([place], replace(WINDOW, pictures=0, reference_pictures=0))
    assert decoded == [13, 33]


def test_frames_without_a_face_are_avoided(tmp_path: Path) -> None:
    missed = [0, 7, 8, 21]
    root = miniature.make(tmp_path, [Clip("anna/gaps", 30, missed=missed), Clip("anna/none", 8, missed=range(8))])
    dataset, starts = WindowDataset(root, WINDOW, "train", length=400), set()
    for index in range(400):
        clip, start, references, *_ = dataset[index]
        if clip.info.clip == "anna/gaps":
            assert not set(range(start, start + 5)) & set(missed)
            assert not set(references) & set(missed)
            starts.add(start)
    assert starts == {1, 2, *range(9, 17), *range(22, 26)}
    assert {dataset[index].clip.info.clip for index in range(400)} == {"anna/gaps", "anna/none"}


def test_an_epoch_goes_over_the_split_evenly(root: Path) -> None:
    every = [("anna/one", k) for k in range(26)] + [("anna/two", k) for k in range(8)]
    every += [("bert/one", k) for k in range(36)]

    def drawn(length: int, epoch: int = 0) -> list[tuple[str, int]]:
        dataset = WindowDataset(root, WINDOW, "train", length)
        return [(clip.info.clip, start) for clip, start, *_ in (dataset[epoch, index] for index in range(length))]

    assert drawn(len(every)) == every
    assert drawn(2 * len(every)) == [place for place in every for _ in range(2)]
    some = [drawn(7, epoch) for epoch in range(80)]
    assert {place for places in some for place in places} == set(every)
    assert all(place in every[10 * i : 10 * i + 10] for places in some for i, place in enumerate(places))


def test_a_window_depends_on_seed_epoch_and_index_alone(root: Path) -> None:
    one, other = (WindowDataset(root, WINDOW, "train", length=8, seed=3) for _ in range(2))
    for key in [(2, 5), (0, 1), (2, 5)]:
        first = fingerprint(one.collate([one[key]]))
        other[key[0], 2]
        assert fingerprint(other.collate([other[key]])) == first
    assert places(one, 0, 4) == (one[4].clip.info.clip, one[4].start, one[4].references.tolist())
    epochs = [[places(one, epoch, index) for index in range(8)] for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    reseeded = WindowDataset(root, WINDOW, "train", length=8, seed=4)
    assert [places(reseeded, 0, index) for index in range(8)] != epochs[0]
    with pytest.raises(IndexError):
        one[0, 8]


def test_a_batch_holds_its_windows_in_order(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=6)
    drawn = [dataset[index] for index in (4, 0, 2)]
    batch = dataset.collate(drawn)
    assert len(batch) == 3
    for row, place in enumerate(drawn):
        alone = dataset.collate([place])
        assert (batch.clips[row], batch.speakers[row]) == (alone.clips[0], alone.speakers[0])
        for field in fields(Batch):
            value = getattr(batch, field.name)
            if isinstance(value, torch.Tensor):
                assert value.is_contiguous()
                assert torch.equal(value[row], getattr(alone, field.name)[0])
    bare = WindowDataset(root, Window(frames=1, references=0, size=SIZE), "train", length=2)
    assert bare.collate([bare[0], bare[1]]).mel is None


def test_processes_share_the_windows_of_an_endless_stream(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=16, seed=1)

    def order(position: int, replicas: int = 1, rank: int = 0) -> list[tuple[int, int]]:
        return list(StreamSampler(dataset, 4, 20, seed=1, replicas=replicas, rank=rank, position=lambda: position))

    alone = order(80)
    assert sorted(alone[:16]) == [(5, index) for index in range(16)]
    assert {turn for turn, _ in alone[16:]} == {6}
    assert order(84)[:16] == alone[4:]
    assert [index for _, index in order(96)[:16]] != [index for _, index in alone[:16]]
    first, second = order(80, 2, 0), order(80, 2, 1)
    assert [*first[:2], *second[:2], *first[2:4], *second[2:4]] == alone[:8]


def test_what_validates_is_always_the_same(root: Path) -> None:
    sampler = SameSampler(WindowDataset(root, WINDOW, "val", length=4))
    sampler.set_epoch(9)
    assert list(sampler) == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_short_clips_are_listed(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=4)
    assert dataset.short == ["cleo/s"]
    assert dataset.clips == ["anna/one", "anna/two", "bert/one"]
    assert WindowDataset(root, WINDOW, "train", length=4, speakers=["bert"]).clips == ["bert/one"]


@pytest.mark.parametrize(
    ("split", "speakers", "message"),
    [
        ("test", None, r"split test .* has no clip \(there are: train 4, val 1\); prepare with another --split"),
        ("val", ["anna"], r"no clip of speaker anna \(there are: train 2\)"),
        ("train", ["dora", "anna"], "no clip of speaker dora; there are anna, bert, cleo"),
        ("train", ["cleo"], "no clip of 5 frames or more, the longest has 4"),
    ],
)
def test_nothing_to_draw_from(root: Path, split: str, speakers: list[str] | None, message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        WindowDataset(root, WINDOW, split, length=4, speakers=speakers)


def test_unprepared_folder_and_bad_numbers(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match="is not a prepared folder: run dubbench prepare"):
        WindowDataset(tmp_path, WINDOW, "train", length=4)
    with pytest.raises(DubbenchError, match="0 windows"):
        WindowDataset(root, WINDOW, "train", length=0)
    with pytest.raises(DubbenchError, match="seed -1"):
        WindowDataset(root, WINDOW, "train", length=4, seed=-1)
