"""Downloads over HTTP that go on where they stopped: bytes are added to a part file until it is whole."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, BinaryIO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from dubbench import __version__
from dubbench.core.locks import is_open_at, open_alone
from dubbench.errors import DubbenchError

Progress = Callable[[int, int | None], None]

ATTEMPTS = 5
BLOCK = 1 << 18
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TIMEOUT_S = 30.0


class _Broken(Exception):
    """The stream ended early; the part file keeps what came."""


@contextmanager
def part_of(path: Path) -> Iterator[BinaryIO]:
    """Open the part file of ``path`` for this process alone, made if need be; an empty one is removed in the end.

    A second process waits until the first has renamed, removed or left its part file.

    Args:
        path: where the whole file will lie; the part file is its neighbour ``.NAME.part``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    file = open_alone(part)
    try:
        yield file
    finally:
        if is_open_at(file, part) and length(file) == 0:
            part.unlink()
        file.close()


def length(file: BinaryIO) -> int:
    """Bytes in an open file, those not yet flushed too."""
    return file.seek(0, os.SEEK_END)


def fetch(url: str, file: BinaryIO, size: int = 0, progress: Progress | None = None) -> None:
    """Add to ``file`` the bytes of ``url`` that it lacks.

    A connection that breaks is taken up again a few times. A server that cannot send ranges sends all anew.

    Args:
        url: https; http only for this very machine.
        file: opened by `part_of`; on an error it keeps what came, for the next attempt.
        size: bytes of the whole file, 0 if not known. A server that offers another size is refused.
        progress: told the bytes that are here and the bytes in all (None: not known).

    Raises:
        DubbenchError: if the address is not permitted, the server does not answer well, or the bytes stop coming.
    """
    _permit(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _receive(url, file, size, progress)
        except _Broken as broken:
            if attempt == ATTEMPTS:
                raise DubbenchError(f"{url}: {broken}, {ATTEMPTS} times; try again later") from broken
    return None


def _receive(url: str, file: BinaryIO, size: int, progress: Progress | None) -> None:
    have = length(file)
    if size and have == size:
        return
    headers = {"User-Agent": f"dubbench/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: HTTPResponse = _OPENER.open(request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            if error.code == 416 and _ranged(error.headers) == have:
                return
            if error.code == 416:
                file.truncate(0)
                raise _Broken("the server has fewer bytes than are here already") from error
            raise DubbenchError(f"{url} answered {error.code} {error.reason}; try again later") from error
    except (URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DubbenchError(f"{url} cannot be reached ({reason}); check the network") from error
    with response:
        start = _start(response)
        total = _total(response.headers, start)
        if size and total not in (None, size):
            raise DubbenchError(f"{url} offers {total} bytes where {size} belong; it is another file or an error page")
        if start != have:
            file.truncate(0)
        if start not in (0, have):
            raise _Broken("the server sent another range than was asked for")
        _append(response, file, have=start, total=total, size=size, progress=progress)


def _append(
    response: HTTPResponse, file: BinaryIO, have: int, total: int | None, size: int, progress: Progress | None
) -> None:
    while True:
        try:
            block = response.read1(BLOCK)
        except (HTTPException, OSError) as error:
            raise _Broken(f"the connection broke after {have} bytes ({error})") from error
        if not block:
            break
        file.write(block)
        have += len(block)
        if size and have > size:
            file.truncate(0)
            raise DubbenchError(f"{response.url} sends more than the {size} bytes that belong; it is another file")
        if progress is not None:
            progress(have, total or size or None)
    file.flush()
    if not have:
        raise _Broken("the server sent nothing")
    if have < (total or size):
        raise _Broken(f"the connection broke after {have} of {total or size} bytes")


def _start(response: HTTPResponse) -> int:
    """Offset of the first byte that a response carries."""
    if response.status != 206:
        return 0
    first = response.headers.get("Content-Range", "").removeprefix("bytes").strip().partition("-")[0]
    return int(first) if first.isdigit() else -1


def _total(headers: Message, start: int) -> int | None:
    """Bytes of the whole file by the headers of a response that begins at ``start``; None if they do not tell."""
    rest = headers.get("Content-Length", "")
    ranged = _ranged(headers)
    return start + int(rest) if ranged is None and rest.isdigit() and start >= 0 else ranged


def _ranged(headers: Message) -> int | None:
    whole = headers.get("Content-Range", "").rpartition("/")[2].strip()
    return int(whole) if whole.isdigit() else None


def _permit(url: str, origin: str = "") -> None:
    """Refuse an address that is neither https nor, if ``origin`` is not either, http on this machine."""
    address = urlsplit(url)
    local = address.scheme == "http" and address.hostname in LOOPBACK
    if not (address.hostname and (address.scheme == "https" or (local and urlsplit(origin).scheme != "https"))):
        told = f"{origin} leads to {url}" if origin else url
        raise DubbenchError(f"{told}, which is not https; pretrained files come over https only")


class _Redirects(request.HTTPRedirectHandler):
    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> request.Request | None:
        _permit(newurl, req.full_url)
        return super().redirect_request(req, fp, code=code, msg=msg, headers=headers, newurl=newurl)  # type: ignore[arg-type]


def _opener() -> request.OpenerDirector:
    """What speaks HTTP(S) and nothing else: urllib's usual opener would also follow a redirect to ftp."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        _Redirects(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


_OPENER = _opener()
