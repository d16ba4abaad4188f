"""Named settings: a file's stem is the name a user types."""

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.configs, not configs: a second copy of a class is another class")
