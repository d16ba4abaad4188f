"""What the pages that this package writes may load: their own files and what is written into them, nothing else."""

from base64 import b64encode
from hashlib import sha256


def policy(script: str, style: str) -> str:
    """A Content-Security-Policy for a page with one script, one style sheet, and videos beside it.

    Whatever a name or an answer might smuggle into the page, no other script runs, nothing is fetched or sent, and no
    form, frame or plug-in leads anywhere. Browsers give a page that is opened from disk no origin of its own, so its
    neighbours are ``file:`` there.

    Args:
        script: exactly what stands between ``<script>`` and ``</script>``.
        style: exactly what stands between ``<style>`` and ``</style>``.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "media-src 'self' file:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
