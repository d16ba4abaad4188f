"""An ablation study from its tables to their filled rows: experts first, then every variant, then the scores."""

from collections.abc import Sequence

from dubbench.ablations.study import Outcome, Study
from dubbench.ablations.tables import Ablation, variants
from dubbench.protocols.protocol import load


def run(study: Study, tables: Sequence[Ablation], protocol: str | None = None) -> list[Outcome]:
    """Train and score what the tables' rows need.

    Args:
        study: does the steps.
        tables: of one method.
        protocol: that all rows are scored under, or None for each table's own.

    Returns:
        Rows in the tables' order, those of failed variants too.

    Raises:
        DubbenchError: if there is no such protocol, or an expert could not be trained.
    """
    rules = {table.name: load(protocol or table.protocol) for table in tables}
    rows = {
        table.name: [Outcome(table, *each) for each in variants(table, study.budget.tiny).items()] for table in tables
    }
    every = [outcome for outcomes in rows.values() for outcome in outcomes]
    study.expect(tables, every)
    for table in tables:
        study.train_experts(table)
    for outcome in every:
        study.train(outcome)
    for table in tables:
        for outcome in rows[table.name]:
            study.measure(outcome)
        if table.scored():
            study.score(rows[table.name], rules[table.name])
    return every
