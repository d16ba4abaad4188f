"""How the demo corpus is made: speech from espeak-ng, visemes from its phonemes, faces from shipped photographs."""
