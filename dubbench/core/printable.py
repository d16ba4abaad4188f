"""Names from anywhere, as text that a terminal shows and does not obey."""

import re

# Control characters, marks that turn the direction of writing, line ends that only some know, and bytes of file names
# that are no UTF-8. Tabs stay.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, *, lines: bool = False) -> str:
    """Text with what a terminal would obey written out, as Python writes it in a string.

    Args:
        text: to be shown.
        lines: whether it may have several lines; a line end in a name must not begin a line of its own.
    """
    shown = OBEYED.sub(lambda found: _written(ord(found[0])), text)
    return shown if lines else shown.replace("\n", r"\n")


def _written(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
