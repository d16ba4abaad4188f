"""Where files lie that can be had again, as each operating system has it, and how their names are compared."""

import unicodedata
from pathlib import Path


def cache_folder() -> Path:
    """The folder of this package in the user's cache, which may not exist yet.

    ``$XDG_CACHE_HOME/dubbench`` on Linux, by default ``~/.cache/dubbench``.
    """
    from platformdirs import user_cache_path

    return user_cache_path("dubbench", appauthor=False)


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): file systems and archives keep the same one in either form."""
    return unicodedata.normalize("NFC", name)
