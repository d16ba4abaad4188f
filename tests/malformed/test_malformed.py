"""A slice of ``python -m tests.malformed``: a file of every kind, whole ones beside them, and what comes of each."""

from pathlib import Path

from tests.malformed.files import MADE, WHOLE, corpus
from tests.malformed.harm import HARMS
from tests.malformed.trial import PREPARED, tried

FILMS = ("h264.mp4", "h264.mkv", "mpeg4.avi", "mjpeg.avi", "mpeg2.ts")


def test_malformed_files_are_rows_with_reasons_and_whole_ones_are_read(tmp_path: Path) -> None:
    kinds = len(HARMS) + len(MADE)
    trial = tried(corpus(tmp_path / "corpus", kinds, seed=5, names=FILMS), tmp_path)
    assert trial.faults == []
    outcomes = list(trial.outcomes.values())
    assert len({outcome.file.kind for outcome in outcomes} - {WHOLE}) == kinds
    whole = [outcome for outcome in outcomes if outcome.file.whole]
    assert len(whole) == len(FILMS) + 2 + 1
    assert {reason for outcome in whole for reason in outcome.steps.values()} == {PREPARED}
    empty = next(outcome for outcome in outcomes if outcome.file.kind == "empty")
    assert all("empty (0 bytes)" in reason for reason in empty.steps.values())
