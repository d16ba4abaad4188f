"""Metrics of visual dubbing: each a pure function and a thin torchmetrics class."""

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.metrics, not metrics: a second copy of a class is another class")
