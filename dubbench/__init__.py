"""A benchmark suite for audio-driven visual dubbing."""

import os

__version__ = "0.1.0"

# torchmetrics imports onnxruntime, whose releases can report their use; nothing here shall.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
