"""Who rates what, and in which order: balanced incomplete blocks over methods and clips."""

from collections.abc import Sequence

import numpy as np

from dubbench.errors import DubbenchError

Item = tuple[int, int]  # method, clip
TRIALS = 400


def design(methods: int, clips: int, raters: int, per_rater: int | None, seed: int) -> list[list[Item]]:
    """What each rater sees, in order.

    Every rater sees each method equally often, k times, and clips as evenly as their number allows: never twice where
    there are enough. Over ``clips / gcd(k, clips)`` raters that follow on each other every method is seen equally often
    with every clip. A rater's list comes in blocks that hold each method once, in the order of a Williams square's row,
    where each method follows each other equally often; its clips are drawn by the seed and the rater's number so that
    none comes twice in a row.

    Args:
        methods: how many.
        clips: how many.
        raters: how many.
        per_rater: items a rater, a multiple of ``methods``; None for all.
        seed: of the draws.

    Returns:
        By rater, pairs of method and clip.

    Raises:
        DubbenchError: if these numbers do not go together.
    """
    every = methods * clips
    count = every if per_rater is None else per_rater
    if clips < 2:
        raise DubbenchError("a study of one clip would show it again and again; give results with two clips or more")
    if not 0 < count <= every or count % methods:
        below = max(methods, min(count, every) // methods * methods)
        raise DubbenchError(
            f"--per_rater {count} cannot show {methods} methods of {clips} clips equally often; give {below}, or "
            f"another multiple of {methods} up to {every}"
        )
    rows = williams(methods)
    return [
        _ordered(_items(methods, clips, count // methods, rater), rows, rater, np.random.default_rng([seed, rater]))
        for rater in range(raters)
    ]


def _items(methods: int, clips: int, each: int, rater: int) -> list[list[int]]:
    """By method, the clips that a rater sees of it: ``each`` a method, all of them neighbours on a circle of clips."""
    start = rater * each
    return [[(start + method * each + block) % clips for block in range(each)] for method in range(methods)]


def williams(count: int) -> list[list[int]]:
    """Rows of a Williams square: as a whole each method stands at each place, and after each other one, equally often.

    There are ``count`` rows, and for an odd number as many again, mirrored.
    """
    first = [(k // 2 + 1) if k % 2 else (-k // 2) for k in range(count)]
    rows = [[(value + shift) % count for value in first] for shift in range(count)]
    return rows + [row[::-1] for row in rows] if count % 2 and count > 1 else rows


def _ordered(
    clips_of: Sequence[Sequence[int]], rows: Sequence[Sequence[int]], rater: int, draw: np.random.Generator
) -> list[Item]:
    """Lay a rater's items out; rows of the square are given up only where they leave no order without neighbours."""
    blocks = len(clips_of[0])
    for trial in range(2 * TRIALS):
        if trial < TRIALS:
            turn = _turn(rows, rater, blocks)
        else:
            turn = [draw.permutation(len(clips_of)).tolist() for _ in range(blocks)]
        order = _attempt([draw.permutation(clips).tolist() for clips in clips_of], turn)
        if order is not None:
            return order
    raise DubbenchError("no order keeps one clip from coming twice in a row; give more clips, or another --per_rater")


def _turn(rows: Sequence[Sequence[int]], rater: int, blocks: int) -> list[Sequence[int]]:
    """Rows for a rater's blocks: all are used before one comes again, and which comes first turns with the rater.

    A row that begins with the method that the last one ended with waits, if another is left.
    """
    turn: list[Sequence[int]] = []
    left: list[Sequence[int]] = []
    for _ in range(blocks):
        left = left or [*rows[rater % len(rows) :], *rows[: rater % len(rows)]]
        chosen = next((k for k, row in enumerate(left) if not turn or row[0] != turn[-1][-1]), 0)
        turn.append(left.pop(chosen))
    return turn


def _attempt(left: list[list[int]], turn: Sequence[Sequence[int]]) -> list[Item] | None:
    """Take clips in turn, the one that was seen longest ago first; None if a clip would follow itself."""
    order: list[Item] = []
    last_seen: dict[int, int] = {}
    for method in (method for row in turn for method in row):
        clip = min(left[method], key=lambda clip: last_seen.get(clip, -1))
        if order and order[-1][1] == clip:
            return None
        left[method].remove(clip)
        last_seen[clip] = len(order)
        order.append((method, clip))
    return order
