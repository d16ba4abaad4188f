"""Protocols: which clips are scored, what drives them, and every choice in between."""
