"""How the demo corpus is made: speech from espeak-ng, visemes from its phonemes, a face from a shipped photograph."""
