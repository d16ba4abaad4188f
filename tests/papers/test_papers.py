"""Printed tables: every number as in the papers, and what may stand beside ours."""

import csv
import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import dubbench.papers
from dubbench.ablations.tables import load
from dubbench.board import claims as claims_board
from dubbench.board.paper_table import show
from dubbench.core.config_names import names
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.lmd import COMPUTE
from dubbench.papers import PAPERS, claims, columns, method, printed
from dubbench.results.rows import GROUND_TRUTH, ClipResult, summarise, write_summary

# By paper and table: where its rows begin and end in the text.
PLACES = {
    ("radio", "1"): ("\nMethods\tPSNR", "\nTable 1."),
    ("radio", "2"): ("\nMethod\t\tPSNR", "\nTable 2."),
    ("radio_supplement", "1"): ("\nConfiguration\t", "\nTable 1."),
    ("personatalk", "1"): ("\n\tSSIM ↑", "\nTable 1."),
    ("personatalk", "2"): ("\nTable 2.", "\nand lip."),
    ("personatalk", "3"): ("\nTable 3.", "\nTable 4."),
    ("personatalk", "4"): ("\nTable 4.", "\ndemonstrated"),
    ("realtalk", "2"): ("\nMethod Dataset", "\n![Image"),
    ("realtalk", "3"): ("\nTable 3:", "\nTable 4:"),
    ("realtalk", "4"): ("\nTable 4:", "\n![Image"),
    ("realtalk", "5"): ("\nTable 5:", "\nTable 6:"),
    ("realtalk", "6"): ("\nTable 6:", "\n### 4.3"),
    ("realtalk", "7"): ("\nTable 7:", "\n![Image"),
    ("g4g", "1"): ("\nMethod\tDataset", "\nFigure 2."),
    ("g4g", "2"): ("\nTable 2.", "\nFigure 3."),
    ("g4g", "3"): ("\nTable 3.", "\ngrounds,"),
}
TURNED = {("realtalk", "3")}
PARTS = ("LMD", "M-LMD", "F-LMD")


def numbers(paper: str, table: str) -> list[str]:
    text = (Path(dubbench.papers.__file__).parent / f"{paper}.csv").read_text(encoding="utf-8")
    return [line["value"] for line in csv.DictReader(text.splitlines()) if line["table"] == table]


def between(shared: Path, paper: str, table: str) -> str:
    start, end = PLACES[paper, table]
    text = (shared / "papers" / f"{paper}.txt").read_text(encoding="utf-8")
    assert text.count(start) == 1
    rest = text[text.index(start) :]
    return re.sub(r"\[\[?\d+\]?(\([^)]*\))?\]?|<[^>]+>", " ", rest[: rest.index(end)])


@pytest.mark.parametrize(("paper", "table"), PLACES)
def test_a_table_holds_the_texts_numbers_in_their_order(shared: Path, paper: str, table: str) -> None:
    found = re.findall(r"\d+\.\d+", between(shared, paper, table).partition("Table 2:")[0])
    ours = [text for text in numbers(paper, table) if "." in text]
    order = sorted if (paper, table) in TURNED else list
    assert order(ours) == order(found)


def test_whole_numbers_are_the_texts(shared: Path) -> None:
    text = (shared / "papers" / "realtalk.txt").read_text(encoding="utf-8")
    lines = text[text.index("\nMethod _vs_") :].splitlines()[2:9]
    # "25 25 25 25" is one number, in the four forms that its page gives it.
    found = [re.findall(r"(\d+)[ \d]*\)(\d+)", line.partition("(Ours)")[2] or line)[-1] for line in lines]
    rows = [row for row in printed("realtalk") if row.table == "1"]
    assert [tuple(row.texts.values()) for row in rows] == found
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(row.row)
        assert len(set(line.split()[-4:])) == 2 or line.endswith(row.texts["Speed (FPS)"])
    assert re.findall(r"\((\d+)%", between(shared, "realtalk", "3")) == ["33", "44"]
    gains = [row.texts for row in printed("realtalk") if row.table == "3" and row.row == "Ours"]
    assert (gains[0]["Visual Quality (% gain)"], gains[0]["Lip Sync (% gain)"]) == ("33", "44")


def test_every_table_of_the_documents_is_there(shared: Path) -> None:
    for paper in PAPERS:
        text = (shared / "papers" / f"{paper}.txt").read_text(encoding="utf-8")
        captions = set(re.findall(r"^Table (\d+)[.:]", text, re.MULTILINE))
        assert {row.table for row in printed(paper)} == captions
    assert {(row.paper, row.table) for paper in PAPERS for row in printed(paper)} == {*PLACES, ("realtalk", "1")}


@pytest.mark.parametrize(("paper", "table"), [place for place in PLACES if place not in TURNED | {("realtalk", "5")}])
def test_a_row_is_a_line_of_the_text(shared: Path, paper: str, table: str) -> None:
    lines = between(shared, paper, table).splitlines()
    for row in (row for row in printed(paper) if row.table == table):
        for setting in {column.setting.name for column in columns(paper, table)}:
            texts = [text for name, text in row.texts.items() if not setting or name.startswith(setting)]
            # Table 2's rows begin with letters of two alphabets in the text.
            called = row.row[2:] if (paper, table) == ("radio", "2") else row.row.split()[0]
            cells = [re.findall(r"\d+\.\d+", line) for line in lines if called in line]
            assert not texts or any(set(texts) <= set(found) for found in cells), (row.row, setting)


def test_trailing_zeros_stay() -> None:
    (row,) = (row for row in printed("realtalk") if row.row == "Deformation")
    assert row.texts["Runtime (ms)"] == "31.20"
    assert row.values["Runtime (ms)"] == 31.2


def test_claims_cover_every_value_once_and_say_what_it_is() -> None:
    found = claims()
    cells = [(claim.paper, claim.table, claim.row, claim.column) for claim in found]
    assert len(cells) == len(set(cells))
    assert len(cells) == sum(len(row.values) for paper in PAPERS for row in printed(paper))
    for claim in found:
        assert claim.driving in ("own", "cross", "")
        assert claim.note
        assert claim.alike == bool(claim.metric)
        assert claim.nearest in (*DEFINITIONS, "")
        assert claim.column.endswith(claim.measure)
        assert float(claim.text) == claim.value
        if claim.alike:
            assert DEFINITIONS[claim.metric].better == claim.better or claim.measure == "Sync conf"


def test_claims_of_one_corpus() -> None:
    own = claims("hdtf")
    assert own
    assert {claim.dataset for claim in own} == {"hdtf"}
    assert {claim.paper for claim in own} == {"radio", "personatalk", "realtalk", "g4g"}
    assert {"grid"} & {claim.dataset for claim in claims()} == set()
    assert claims("grid") == []
    assert {"hdtf", "voxceleb2"} <= set(names("data"))


def test_settings_are_those_of_the_papers() -> None:
    found = {(c.paper, c.table, c.method, c.column): c for c in claims()}
    cross = found["realtalk", "2", "RealTalk", "VoxCeleb1 Cross Audio FID"]
    assert (cross.dataset, cross.driving, cross.metric, cross.text) == ("voxceleb1", "cross", "fid", "17.52")
    own = found["realtalk", "2", "IP-LAP", "HDTF Reconstruction LPIPS"]
    assert (own.dataset, own.driving, own.metric, own.nearest, own.text) == ("hdtf", "own", "", "lpips_alex", "0.1101")
    mse = found["g4g", "1", "G4G", "LRS2 MSE"]
    assert (mse.dataset, mse.alike, mse.nearest, mse.text) == ("lrs2", False, "mse", "0.0020")
    lmd = found["radio", "1", "RADIO", "HDTF LMD"]
    assert (lmd.alike, lmd.nearest, lmd.text) == (False, "lmd", "7.235")
    speed = found["realtalk", "1", "RealTalk", "Speed (FPS)"]
    assert (speed.dataset, speed.driving, speed.metric) == ("", "", "")


def test_realtalks_lmd_is_of_all_points_and_its_parts_are_the_mouth_and_the_rest() -> None:
    ours = {name: next(c.nearest for c in claims() if (c.paper, c.measure) == ("realtalk", name)) for name in PARTS}
    for claim in (each for each in claims() if each.measure in PARTS and each.paper == "realtalk"):
        assert (claim.nearest, claim.alike) == (ours[claim.measure], False)
    points = torch.from_numpy(np.random.default_rng(0).normal(128, 30, (2, 5, 68, 2)))
    made = {name: float(COMPUTE[metric](points[0], points[1]).mean()) for name, metric in ours.items()}
    assert made["LMD"] == pytest.approx((20 * made["M-LMD"] + 48 * made["F-LMD"]) / 68, rel=1e-12)
    off: dict[str, list[float]] = {}
    for row in printed("realtalk"):
        for corpus in ("VoxCeleb1", "MEAD", "HDTF"):
            values = [row.values.get(f"{corpus} Reconstruction {name}") for name in PARTS]
            if row.table == "2" and None not in values:
                whole, mouth, rest = (float(value) for value in values if value is not None)
                off.setdefault(corpus, []).append(abs(whole - (20 * mouth + 48 * rest) / 68))
    assert {corpus: len(each) for corpus, each in off.items()} == {"VoxCeleb1": 6, "MEAD": 6, "HDTF": 3}
    assert max(off["VoxCeleb1"] + off["MEAD"]) < 0.012
    # 0.152, 0.212 and 0.110: the paper does not say what else it did there.
    assert max(off["HDTF"]) < 0.22


def test_table_6_has_the_lmd_of_table_2() -> None:
    rows = {(row.table, row.row): row.values for row in printed("realtalk")}
    whole = rows["2", "Ours"]["VoxCeleb1 Reconstruction LMD"]
    assert whole == rows["6", "Learnable"]["LMD"]
    assert load("realtalk_mask").metrics["LMD"] == "f_lmd_uncentred"


def test_only_the_papers_own_method_is_renamed() -> None:
    assert method("g4g", "Ours") == "G4G"
    assert method("g4g", "Wav2Lip") == "Wav2Lip"
    assert method("realtalk", "Final (FIA)") == "Final (FIA)"


def test_columns_stand_as_printed() -> None:
    order = [column.measure.name for column in columns("realtalk", "2") if column.setting.name == "MEAD Reconstruction"]
    assert order == ["LMD", "M-LMD", "F-LMD", "FID", "LPIPS", "SSIM", "Sync conf"]
    assert [column.name for column in columns("personatalk", "4")] == ["LPIPS", "CSIM", "StyleSim"]
    settings = list(dict.fromkeys(column.setting.name for column in columns("radio", "1")))
    assert settings == ["HDTF", "VoxCeleb2"]


SCORES = {"psnr": 31.234, "ms_ssim": 0.91, "lpips_alex": 0.123456, "lmd": 1.5, "sync_c": 7.25}


def results(folder: Path, dataset: str = "hdtf", driving: str | None = "own", protocol: str = "mine") -> Path:
    """Results of one method and the ground truth, with metrics that a paper's table has and others."""
    labels = {"dataset": dataset, "protocol": protocol, "protocol_hash": "p1", "split_hash": "s1"}
    clips = [ClipResult(name, "a", "f", 75, values=SCORES) for name in ("ours", GROUND_TRUTH)]
    folder.mkdir()
    write_summary(folder / "summary.csv", summarise(clips, list(SCORES), labels, 0))
    if driving:
        (folder / "run.json").write_text(json.dumps({"protocol_choices": {"driving": driving}}))
    return folder


def shown(spec: str, *places: Path) -> list[str]:
    text = StringIO()
    show(spec, places, Console(file=text, width=200))
    return text.getvalue().splitlines()


def test_a_table_as_printed_and_what_corresponds_below_it(tmp_path: Path) -> None:
    lines = shown("radio:1", results(tmp_path / "own"))
    start = lines.index("RADIO, Table 1: HDTF")
    assert lines[start + 2].split()[:2] == ["printed", "there"]
    assert ["33.939", "0.909", "0.058", "8.310", "7.038", "7.235"] in [line.split()[1:] for line in lines]
    (own,) = (k for k, line in enumerate(lines) if line.split()[:1] == ["ours"])
    end = lines.index("RADIO, Table 1: VoxCeleb2")
    assert start < own < end
    # LPIPS and LMD have values of ours, but are defined in another way; Sync-D was not measured.
    assert lines[own].split() == ["ours", "mine", "(p1)", "1", "31.23", "0.9100", "7.250"]
    assert lines[own - 1].split()[:2] == ["*", "ground_truth"]
    assert any("measured here on hdtf, own speech" in line for line in lines[start:own])
    assert lines[end:].count("  none of the results given are of voxceleb2, own speech") == 1
    assert "† LPIPS is never in one column with ours: the network (AlexNet or VGG16) is not said" in lines


def test_what_the_lower_half_means_stands_under_the_tables_that_it_touches() -> None:
    half = "of frames whose upper half is the source's"
    for spec, told in (("personatalk:1", True), ("personatalk:4", True), ("personatalk:3", False), ("radio:1", False)):
        assert any(half in line for line in shown(spec)) is told
    blocks = {block.title: block.footnotes for block in claims_board.blocks("hdtf")}
    assert any(half in note for note in blocks["PersonaTalk, Table 1"])
    assert not any(half in note for note in blocks["RADIO, Table 1"])


def test_speech_and_corpus_must_be_the_tables(tmp_path: Path) -> None:
    cross = results(tmp_path / "cross", driving="cross")
    other = results(tmp_path / "grid", dataset="grid")
    assert not any(line.split()[:1] == ["ours"] for line in shown("radio:1", cross, other))
    voices = results(tmp_path / "mead", dataset="mead", driving="cross")
    lines = shown("realtalk:2", voices, cross, other)
    (row,) = (k for k, line in enumerate(lines) if line.split()[:1] == ["ours"])
    heads = [line for line in lines[:row] if line.startswith("RealTalk, Table 2")]
    assert heads[-1] == "RealTalk, Table 2: MEAD Cross Audio"
    assert lines[row].split() == ["ours", "mine", "(p1)", "1", "7.250"]


def test_driving_of_results_without_a_record_is_their_protocols(tmp_path: Path) -> None:
    named = results(tmp_path / "named", driving=None, protocol="first_frame")
    unnamed = results(tmp_path / "unnamed", driving=None)
    assert sum(line.split()[:1] == ["ours"] for line in shown("radio:1", named, unnamed)) == 1
    # A folder of results folders counts as those in it, and equal rows are one.
    both = shown("radio:1", tmp_path, named)
    assert sum(line.split()[:1] == ["ours"] for line in both) == 1


def test_tables_that_nothing_here_corresponds_to(tmp_path: Path) -> None:
    place = results(tmp_path / "own")
    for spec in ("personatalk:3", "realtalk:1", "realtalk:5"):
        assert any("nothing here is measured in the way of these columns" in line for line in shown(spec, place))
    assert any("its clips are not said" in line for line in shown("personatalk:2", place))
    assert not any(line.split()[:1] == ["ours"] for line in shown("personatalk:2", place))


def test_papers_without_results_and_their_lists() -> None:
    text = "\n".join(shown("g4g"))
    assert all(f"g4g:{table}" in text for table in "123")
    assert "lrs2, own speech" in text
    assert any("31.451" in line for line in shown("personatalk:1"))
    with pytest.raises(DubbenchError, match="no paper is called 'wav2lip'; there are radio, radio_supplement, pers"):
        shown("wav2lip:1")
    with pytest.raises(DubbenchError, match=r"RADIO's supplement has no table '2'; it has 1$"):
        shown("radio_supplement:2")
    with pytest.raises(DubbenchError, match="holds no results"):
        show("radio:1", [Path("nowhere")])
