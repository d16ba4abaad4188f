"""``python -m dubbench`` is the command ``dubbench``."""

from dubbench.cli import run

if __name__ == "__main__":
    run()
