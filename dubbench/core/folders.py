"""Where files lie that can be had again: the user's cache, as each operating system has it."""

from pathlib import Path


def cache_folder() -> Path:
    """The folder of this package in the user's cache, which may not exist yet.

    ``$XDG_CACHE_HOME/dubbench`` on Linux, by default ``~/.cache/dubbench``.
    """
    from platformdirs import user_cache_path

    return user_cache_path("dubbench", appauthor=False)
