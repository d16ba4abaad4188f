"""How numbers are written."""

import math

import pytest

from dubbench.results.numbers import decimals, directed, millions, number, of_metric, p_value


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(1 / 3), "0.333333"),
        (number(math.nan), ""),
        (number(-math.inf), "-inf"),
        (decimals(30.126, "dB"), "30.13"),
        (decimals(0.12345, "1"), "0.1235"),
        (decimals(-math.inf, "dB"), "-∞"),
        (decimals(math.nan, "dB"), ""),
        (of_metric("lmd", 1.5), "1.500"),
        (of_metric("not one of ours", 1.5), "1.5000"),
        (directed("psnr", "higher"), "psnr ↑"),
        (directed("lmd", "lower"), "lmd ↓"),
        (directed("sync tracks", ""), "sync tracks"),
        (millions(1_234_567_890), "1,234.57 M"),
        (millions(69_240_000, 1), "69.2 M"),
        (millions(0), ""),
        (p_value(0.0312), "0.031"),
        (p_value(0.0009), "< 0.001"),
        (p_value(math.nan), ""),
    ],
)
def test_numbers_are_written_one_way(written: str, expected: str) -> None:
    assert written == expected
