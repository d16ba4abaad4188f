"""Which clip's speech drives which clip under a cross protocol."""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256

from dubbench.errors import DubbenchError


def pair(speakers: Mapping[str, str], seed: int) -> dict[str, str]:
    """Pair every clip with another one, each clip's speech being used once.

    The rule: the clips of a speaker, ordered by sha256 of ``"<seed>:<clip>"``, drive one another in a ring; clips that
    are their speaker's only one form a ring together, and if there is but one such clip it joins the ring of the
    speaker with most clips (by name among equals).

    Args:
        speakers: speaker of every clip of the split.
        seed: orders the clips.

    Returns:
        By clip, the clip whose speech drives it; never itself.

    Raises:
        DubbenchError: if there are fewer than two clips.
    """
    if len(speakers) < 2:
        raise DubbenchError(f"a cross protocol needs two clips, the split has {len(speakers)}; prepare more")
    rings: defaultdict[str, list[str]] = defaultdict(list)
    for clip in sorted(speakers, key=lambda clip: sha256(f"{seed}:{clip}".encode()).digest()):
        rings[speakers[clip]].append(clip)
    singles = [speaker for speaker, clips in rings.items() if len(clips) == 1]
    alone = [clip for speaker in singles for clip in rings.pop(speaker)]
    whole = [rings[speaker] for speaker in sorted(rings, key=lambda speaker: (-len(rings[speaker]), speaker))]
    if len(alone) == 1:
        whole[0].extend(alone)
    elif alone:
        whole.append(alone)
    return {clip: ring[(i + 1) % len(ring)] for ring in whole for i, clip in enumerate(ring)}
