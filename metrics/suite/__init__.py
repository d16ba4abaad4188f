"""All metrics together: which can be computed here, with what networks, over one pass of each clip."""

from dubbench.metrics.suite.frame_values import score
from dubbench.metrics.suite.suite import Suite, standard

__all__ = ["Suite", "score", "standard"]
