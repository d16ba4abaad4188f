"""Corpora, prepared clips and the windows that methods train on."""

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.datamodules, not datamodules: a second copy of a class is another class")
