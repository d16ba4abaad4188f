"""Metrics of visual dubbing: a file each, with its definition and its function; see `dubbench.metrics.catalogue`.

Nothing is loaded before it is used. The names are those of ``__init__.pyi``, where type checkers look for them, too; a
function keeps its name whether or not the file of that name was imported before it.
"""

import lazy_loader

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.metrics, not metrics: a second copy of a class is another class")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
