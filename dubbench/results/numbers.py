"""How numbers and good directions are written, in files and for people."""

import math

from dubbench.metrics.catalogue import DEFINITIONS

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
# By unit; a tenth of a decibel or a hundredth of a pixel tells methods apart, other units have four.
DECIMALS = {"dB": 2, "px@256": 3, "ms": 2, "frames/s": 2, "points": 2}
# By metric, where its unit has too many.
OF_METRIC = {"mse": 1, "fid": 2, "sync_c": 3, "sync_d": 3, "av_offset": 2}
PER_MILLE = 0.001


def number(value: float) -> str:
    """A number in a file: six significant digits; ``inf`` for infinity and nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.6g}"


def decimals(value: float, unit: str, metric: str = "") -> str:
    """A number for people, with the decimals that its metric or unit deserves; nothing for NaN."""
    if math.isnan(value):
        return ""
    digits = OF_METRIC.get(metric, DECIMALS.get(unit, 4))
    return f"{value:.{digits}f}".replace("-inf", "-∞").replace("inf", "∞")


def of_metric(metric: str, value: float) -> str:
    """A metric's value for people."""
    return decimals(value, DEFINITIONS[metric].unit if metric in DEFINITIONS else "", metric)


def directed(name: str, better: str) -> str:
    """A column's name with the arrow of its good direction."""
    return f"{name} {ARROWS[better]}".strip()


def millions(count: float, digits: int = 2) -> str:
    """A count of parameters or operations for people; nothing for none."""
    return f"{count / 1e6:,.{digits}f} M" if count else ""


def p_value(p: float) -> str:
    """A p-value for people; nothing for NaN."""
    if math.isnan(p):
        return ""
    return f"{p:.3f}" if p >= PER_MILLE else "< 0.001"
