"""The dubbing methods, one folder each."""

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.models, not models: a second copy of a class is another class")
