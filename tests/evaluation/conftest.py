"""Results that the tests of evaluation look at from all sides."""

from pathlib import Path

import numpy as np
import pytest

from dubbench.evaluation.candidates import Dubber
from dubbench.evaluation.evaluate import evaluate
from tests.evaluation.methods import Copier, Truth


@pytest.fixture(scope="package")
def scored(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run that the tests look at from all sides."""
    methods: dict[str, Dubber] = {
        "copier": Copier(),
        "truth": Truth(),
        "short": Truth(frames=6),
        "floating": Truth(kind=np.float32),
    }
    return evaluate(prepared, methods, out=tmp_path_factory.mktemp("scored"), seed=3)
