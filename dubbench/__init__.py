"""A benchmark suite for audio-driven visual dubbing."""

__version__ = "0.1.0"
