"""Metrics as thin torchmetrics classes, which sum over batches and processes what the functions give.

They stand apart from the metrics' files because torchmetrics loads torchvision and transformers, three times as long as
torch itself, and neither the functions nor `dubbench.metrics.suite` needs it.
"""
