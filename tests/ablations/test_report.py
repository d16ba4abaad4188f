"""A study's tables beside the paper's."""

import csv
from dataclasses import replace
from io import StringIO

from rich.console import Console

from dubbench.ablations import report
from dubbench.ablations.study import Budget, Outcome, Value
from dubbench.ablations.tables import find, variants
from dubbench.core.tables import as_csv
from dubbench.papers import columns


def rows(values: dict[str, float]) -> list[Outcome]:
    (table,) = find("radio", "radio:2")
    chosen = variants(table, tiny=False)
    return [Outcome(table, row, chosen[row], {"PSNR": Value(value)}) for row, value in values.items()]


def test_orders_are_compared_with_the_papers() -> None:
    (table,) = find("radio", "radio:2")
    psnr, lpips, _ = columns("radio", "2")
    names_ = list(table.rows)
    same = rows(dict(zip(names_, (20.0, 21.0, 22.0, 23.0), strict=True)))
    told = report.agreement("PSNR", psnr.measure, same)
    assert told == "best in both D + Fidelity mapping w/ ViT; rank correlation 1.00 over 4 rows"
    turned = rows(dict(zip(names_, (23.0, 22.0, 21.0, 20.0), strict=True)))
    told = report.agreement("PSNR", psnr.measure, turned)
    assert told.startswith("best in the paper D + Fidelity mapping w/ ViT, here A Baseline; rank correlation -1.00")
    assert report.agreement("PSNR", psnr.measure, same[:1]) == ""
    assert report.agreement("PSNR", psnr.measure, rows(dict.fromkeys(names_, 20.0))) == "no difference here"
    two = [replace(o, values={"LPIPS": Value(v)}) for o, v in zip(same[:2], (0.1, 0.2), strict=True)]
    assert report.agreement("LPIPS", lpips.measure, two) == "best in both A Baseline"


def test_the_screen_tells_a_row_of_ours_beside_the_papers() -> None:
    text = StringIO()
    outcomes = rows({"A Baseline": 20.0})
    outcomes[0].values["PSNR"] = Value(20.0, 19.5, 20.5)
    outcomes[0].clips, outcomes[0].lost, outcomes[0].parameters = 3, 1, 2_500_000
    budget = Budget("grid", 60, 60, 4, 7, tiny=True)
    report.show(outcomes, budget, Console(file=text, width=160))
    shown = text.getvalue()
    (line,) = (line for line in shown.splitlines() if "A Baseline" in line)
    assert line.split() == [
        "A",
        "Baseline",
        "32.672",
        "20.00",
        "(19.50,",
        "20.50)",
        "0.040",
        "0.520",
        "3/4",
        "2.50",
        "M",
    ]
    assert "here: grid, 60 batches of 4, seed 7, tiny networks, scored on val. Orders can be compared" in shown


def test_what_the_lower_half_means_stands_under_the_ablations() -> None:
    (table,) = find("personatalk")
    chosen = variants(table, tiny=True)
    budget = Budget("grid", 60, 60, 4, 7, tiny=True)
    told = report.notes(table, [Outcome(table, row, variant) for row, variant in chosen.items()], budget)
    assert any("of frames whose upper half is the source's" in line for line in told)


def test_cells_of_the_csv_are_quoted() -> None:
    budget = Budget("grid", 1, 1, None, 0, tiny=False)
    lines = report._lines(rows({"A Baseline": 20.0})[0], budget)
    table = list(csv.DictReader(StringIO(as_csv(report.COLUMNS, lines))))
    assert [line["value"] for line in table] == ["20", "", ""]
    assert table[0]["batch_size"] == ""
