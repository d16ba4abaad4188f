"""Pretrained files: the one list, where they are found, how they are fetched and verified."""
