"""Clocks that jump: runs of time stamps brought onto one clock, so that nothing is dropped and lips stay with sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

JUMP = Fraction(1, 20)  # seconds: time stamps this far off mean lost, doubled or shifted sound, not rounding
# Forwards, of pictures: FFmpeg's own measure (dts_delta_threshold) of where a gap becomes another clock.
ANEW = Fraction(10)
BACK = Fraction(1, 4)  # seconds: decode times of pictures never fall, FFmpeg's guesses of them may by little
TOGETHER = Fraction(2)  # seconds between pictures and sound where a recording begins
LONGEST_GAP = Fraction(60)
# Which gaps and overlaps of the sound's time stamps stay: gaps alone, neither, both.
WAYS = ((True, False), (False, False), (True, True))


@dataclass
class Run:
    """Packets of one stream whose clock runs on: number of the first, its time in seconds and where the last ends."""

    first: int
    start: Fraction
    end: Fraction

    def broken_by(self, time: Fraction, *, pictures: bool) -> bool:
        """Whether the next packet's time is of another run; pictures may pause, sound may not."""
        back, ahead = (BACK, ANEW) if pictures else (JUMP, JUMP)
        return not self.end - back <= time <= self.end + ahead


@dataclass(frozen=True)
class Shift:
    """Seconds that are added to the time stamps of a stream from a packet on."""

    packet: int
    seconds: Fraction


@dataclass(frozen=True)
class Layout:
    """Where runs lie: seconds added to each, how far ahead of its predecessor's end each was and is, where all end."""

    shifts: Sequence[Fraction]
    was: Sequence[Fraction]
    left: Sequence[Fraction]
    end: Fraction


def on_one_clock(
    pictures: Sequence[Run], sound: Sequence[Run], *, anew: bool
) -> tuple[tuple[list[Shift], list[Shift]], list[str]]:
    """Bring the runs of pictures and sound onto one clock.

    Where both begin anew together, recordings were joined: the next follows when both streams of the one before have
    ended, its pictures and sound as far apart as they were. Pictures that jump back alone go on without a gap. Sound
    that jumps alone may have lost a part, then silence keeps the rest in its place, or its clock is wrong, then it goes
    on without a gap: of the two, the one with which it ends nearer to the pictures.

    Args:
        pictures: runs; none where there are no pictures.
        sound: runs; none where there is no sound.
        anew: whether pictures alone that jump far forwards have another clock, as MPEG's streams, rather than a pause.

    Returns:
        Shifts of pictures and of sound, and what there is to tell.
    """
    joints = _joints(pictures, sound)
    seen: list[Fraction] = []
    heard: list[Fraction] = []
    told: list[str] = []
    base = Fraction(0)
    ends: list[Fraction] = []
    for (i, j), (m, n) in pairwise([*joints, (len(pictures), len(sound))]):
        if ends:
            base = max(ends[0] - pictures[i].start, ends[1] - sound[j].start)
        image = _laid_out(pictures[i:m], base, gaps=not anew, overlaps=False)
        voice = _fitting(sound[j:n], base, image.end if pictures else None)
        ends = [image.end, voice.end]
        seen += image.shifts
        heard += voice.shifts
        told += [*_told(image, "the clock of its pictures"), *_told(voice, "the clock of its sound")]
    if len(joints) > 1:
        told.insert(
            0,
            f"pictures and sound begin anew {_times(len(joints) - 1)}, as in joined recordings; none is dropped",
        )
    return (_changes(pictures, seen), _changes(sound, heard)), told


def _joints(pictures: Sequence[Run], sound: Sequence[Run]) -> list[tuple[int, int]]:
    """Numbers of the runs with which pictures and sound begin together."""
    joints, free = [(0, 0)], 1
    for number, run in enumerate(pictures[1:], 1):
        fits = (k for k in range(free, len(sound)) if abs(sound[k].start - run.start) <= TOGETHER)
        beside = next(fits, None)
        if beside is not None:
            joints.append((number, beside))
            free = beside + 1
    return joints


def _laid_out(runs: Sequence[Run], base: Fraction, *, gaps: bool, overlaps: bool) -> Layout:
    """Lay runs behind one another; gaps and overlaps of the time stamps stay or are closed."""
    shift, end = base, None
    shifts, was, left = [], [], []
    for run in runs:
        ahead = Fraction(0) if end is None else run.start + shift - end
        was.append(ahead)
        if (ahead > 0 and not (gaps and ahead <= LONGEST_GAP)) or (ahead < 0 and not overlaps):
            shift, ahead = shift - ahead, Fraction(0)
        left.append(ahead)
        shifts.append(shift)
        end = run.end + shift if end is None else max(end, run.end + shift)
    return Layout(shifts, was, left, base if end is None else end)


def _fitting(runs: Sequence[Run], base: Fraction, until: Fraction | None) -> Layout:
    """The way to lay out sound with which it ends nearest to the pictures; of those that do as well, the first."""
    ways = [_laid_out(runs, base, gaps=gaps, overlaps=over) for gaps, over in WAYS]
    if until is None:
        return ways[0]
    off = [abs(way.end - until) for way in ways]
    return next(way for way, by in zip(ways, off, strict=True) if by <= min(off) + JUMP)


def _told(layout: Layout, clock: str) -> Iterator[str]:
    closed = [was for was, left in zip(layout.was, layout.left, strict=True) if was and not left]
    silent = [left for left in layout.left if left > 0]
    dropped = [left for left in layout.left if left < 0]
    if closed:
        jumps = ", ".join(f"{float(was):+.2f}" for was in closed[:3]) + (", ..." if len(closed) > 3 else "")
        yield f"{clock} jumps {_times(len(closed))} ({jumps} s); nothing is dropped"
    if silent:
        yield f"{clock} pauses {_times(len(silent))}; {float(sum(silent)):.2f} s of silence stand there"
    if dropped:
        yield f"{clock} goes back {_times(len(dropped))}; {-float(sum(dropped)):.2f} s that came twice are dropped"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _changes(runs: Sequence[Run], shifts: Sequence[Fraction]) -> list[Shift]:
    """Shifts where they change."""
    before = [Fraction(0), *shifts]
    return [Shift(run.first, by) for run, by, last in zip(runs, shifts, before, strict=False) if by != last]
