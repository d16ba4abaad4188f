"""docs/metrics.md says what the metrics' files say."""

from dubbench.metrics.catalogue import DEFINITIONS
from tests.data import metrics_table


def test_the_tables_are_those_of_the_definitions() -> None:
    found = metrics_table.PAGE.read_text(encoding="utf-8")
    assert found == metrics_table.page(), "write them anew: python -m tests.data.metrics_table"
    for name in DEFINITIONS:
        assert f"| `{name}` |" in found
