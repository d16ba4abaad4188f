"""What a protocol says of the alignment: what is dubbed depends on it, finished videos do not."""

import json
import shutil
from pathlib import Path

import pytest

from dubbench.cli import main
from dubbench.evaluation.evaluate import evaluate
from dubbench.protocols.protocol import load
from dubbench.training.build import build_model
from tests import dubbed, talking
from tests.evaluation.methods import CLIPS, Copier
from tests.scored import clip_values, record, table

METRICS = ("psnr", "psnr_mouth", "lmd", "f_lmd_uncentred")


def prepared_as(corpus: Path, folder: Path, *words: str) -> Path:
    """The miniature corpus prepared in another way than `prepared` is."""
    folder.mkdir()
    (folder / "split.csv").write_text("clip,speaker,split\n,ann,test\n,bob,test\n")
    place = ["--root", str(corpus), "--out", str(folder / "out"), "--split", str(folder / "split.csv")]
    size = ["--size", "128", "--faces", "largest"]
    assert main(["prepare", "--dataset", "folder", *place, *size, *words]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def upper(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_as(corpus, tmp_path_factory.mktemp("aligned") / "upper", "--align", "upper")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's videos: each clip with a frame of another time in place of its own."""
    root = tmp_path_factory.mktemp("theirs")
    for clip in CLIPS:
        images = list(talking.frames(clip))
        talking.write(root / f"{clip}.mkv", [*images[3:], *images[:3]], talking.speech(clip))
    return root


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fair protocol for other speech, with the metrics that need no file."""
    path = tmp_path_factory.mktemp("rules") / "few.yaml"
    path.write_text("base: fair_cross\nmetrics: {psnr: 2, psnr_mouth: 2, lmd: 1, f_lmd_uncentred: 1, drive: 1}\n")
    return path


def eval_words(prepared: Path, protocol: str | Path, out: Path, *more: str) -> list[str]:
    data = ["--dataset", "folder", "--dataset.root", str(prepared), "--device", "cpu"]
    return ["eval", *data, "--protocol", str(protocol), "--out", str(out), *more]


@pytest.mark.parametrize("protocol", ["first_frame", "fair"])
def test_methods_dub_only_clips_that_are_aligned_as_the_protocol_says(
    prepared: Path, upper: Path, tmp_path: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, has, wants = (upper, "upper", "ffhq") if protocol == "first_frame" else (prepared, "ffhq", "upper")
    model = build_model("radio_tiny", [], "test")
    model.align = has
    weights = dubbed.checkpoint(tmp_path / "radio.ckpt", model)
    words = ["--model", "radio_tiny", "--ckpt_path", str(weights)]
    assert main(eval_words(folder, protocol, tmp_path / "out", *words)) == 1
    name = {"fair": "fair_own"}.get(protocol, protocol)
    assert (
        f"{folder} was prepared with --align {has}, and {name} dubs clips of --align {wants}; prepare the corpus with "
        "that into another folder, or choose another --protocol"
    ) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_square_that_trembles_is_not_the_protocols(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rough = prepared_as(corpus, tmp_path / "rough", "--align", "upper", "--smooth", "2")
    weights = dubbed.checkpoint(tmp_path / "radio.ckpt", build_model("radio_tiny", [], "test"))
    words = ["--model", "radio_tiny", "--ckpt_path", str(weights)]
    assert main(eval_words(rough, "fair_own", tmp_path / "out", *words)) == 1
    assert "was prepared with --align upper --smooth 2, and fair_own dubs clips of" in capsys.readouterr().err


def test_a_method_is_scored_where_clips_and_protocol_agree(upper: Path, prepared: Path, tmp_path: Path) -> None:
    found = {}
    for folder, protocol in ((upper, "fair_own"), (prepared, "first_frame")):
        out = evaluate(folder, {"copier": Copier()}, out=tmp_path / protocol, protocol=protocol, clips=CLIPS[:1])
        copied = [clip_values(out, "psnr")[name, CLIPS[0]] for name in ("copier", "copy_reference")]
        assert copied[0] == copied[1]
        found[protocol] = copied[0]
        row = table(out)["copier", "psnr"]
        assert (row["protocol"], row["protocol_hash"]) == (protocol, load(protocol).hash)
        choices = json.loads((out / "run.json").read_text())["protocol_choices"]
        assert choices["align"] == load(protocol).align
    assert found["fair_own"] != found["first_frame"], "what is copied lies in the square"


def test_finished_videos_are_scored_on_clips_of_any_alignment(
    corpus: Path,
    prepared: Path,
    upper: Path,
    theirs: Path,
    few: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    smoothed = prepared_as(corpus, tmp_path / "smoothed", "--smooth", "4")
    outs = {}
    for name, folder in (("upper", upper), ("ffhq", prepared), ("smoothed", smoothed)):
        outs[name] = tmp_path / name
        assert main(eval_words(folder, few, outs[name], "--videos", str(theirs), "--method", "theirs")) == 0
    told = f"copy_reference is left out: {prepared} was prepared with --align ffhq, and few dubs clips of --align upper"
    assert told in capsys.readouterr().err
    for metric in (*METRICS, "drive"):
        values = {name: clip_values(out, metric) for name, out in outs.items()}
        for clip in CLIPS:
            own = float(values["upper"]["theirs", clip])
            assert [float(values[name]["theirs", clip]) for name in ("ffhq", "smoothed")] == pytest.approx([own] * 2)
    assert len({table(out)["theirs", "psnr"]["protocol_hash"] for out in outs.values()}) == 1
    assert ("copy_reference", "psnr") in table(outs["upper"])
    assert {method for method, _ in table(outs["ffhq"])} == {"ground_truth", "theirs"}
    assert json.loads((outs["upper"] / "run.json").read_text())["left_out"] == {}
    assert list(record(outs["ffhq"])["left_out"]) == ["copy_reference"]
    # Beside the results that have that row there is nothing to tell.
    for places, there in ((["ffhq"], True), (["ffhq", "upper"], False)):
        words = ["leaderboard", *(str(outs[name]) for name in places), "--out", str(tmp_path / "board.csv")]
        assert main([*words, "--markdown", str(tmp_path / "board.md")]) == 0
        board = (tmp_path / "board.md").read_text().replace("\\", "")
        assert (f"no copy_reference: {prepared} was prepared with --align ffhq" in board) == there
        assert "methods dub clips of --align upper" in board
        assert board.count("## folder, test: protocol few") == 1


def test_prepared_folders_of_two_alignments_are_no_pair(
    prepared: Path, upper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "--pred", str(prepared), "--target", str(upper), "--metrics", "psnr", "--device", "cpu"]) == 1
    told = capsys.readouterr().err
    assert f"{prepared} was prepared with --align ffhq and {upper} with --align upper" in told
    again = tmp_path / "again"
    shutil.copytree(upper, again)
    words = ["--pred", str(again), "--target", str(upper), "--metrics", "lmd", "--device", "cpu"]
    assert main(["score", *words, "--json", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["clips"][CLIPS[0]]["values"]["lmd"] < 0.5
