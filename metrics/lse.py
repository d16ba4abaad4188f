"""SyncNet's judgement of lips and speech: Sync-C (LSE-C), Sync-D (LSE-D) and the offset between sound and picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import Box, Clip, ClipMetric, ClipStream, Image, NoValue, speech_of
from dubbench.metrics.networks import pretrained
from dubbench.metrics.networks.pretrained import DETECTOR, SYNCNET, Pretrained
from dubbench.metrics.syncnet.faces import follower
from dubbench.metrics.syncnet.network import SyncEmbedder
from dubbench.metrics.syncnet.scores import Crops, Sound, SyncScores, SyncStream

DEFINITIONS = (
    Definition(
        name="sync_c",
        text=(
            "SyncNet v2 confidence (LSE-C) of the longest face track: median less minimum of the 31 shifts' "
            "mean distances"
        ),
        unit="1",
        better="higher",
        version=1,
        needs="speech",
        network="syncnet",
        detector="s3fd",
        order=150,
        title="Sync-C = LSE-C",
        reference="joonson/syncnet_python 6efbb1c",
        deviation="no JPEG and XVID in between; see the three ways below",
        reached=(
            "2e-6 relative; 1.1e-4 on weights that make it nearly vanish, where the float32 golden itself is "
            "that far from its float64 run (1e-4, there 1e-3)"
        ),
    ),
    Definition(
        name="sync_d",
        text=("SyncNet v2 distance (LSE-D) of the longest face track: the smallest of the 31 shifts' mean distances"),
        unit="1",
        better="lower",
        version=1,
        needs="speech",
        network="syncnet",
        detector="s3fd",
        order=160,
        title="Sync-D = LSE-D",
        reference="joonson/syncnet_python 6efbb1c",
        deviation="no JPEG and XVID in between; see the three ways below",
        reached="8e-8 relative; the 31 distances 2e-7 (1e-4)",
    ),
    Definition(
        name="av_offset",
        text="shift of that smallest distance; negative where the sound comes late",
        unit="frames",
        better="",
        version=1,
        needs="speech",
        network="syncnet",
        detector="s3fd",
        order=170,
        minor=True,
        title="AV offset",
        reference="joonson/syncnet_python 6efbb1c",
        deviation="as `sync_d`; it is 15 less the position of the minimum",
        reached="equal",
    ),
)

NO_TRACK = "no_track: no face is large enough in enough frames on end"


def sync_scores(network: SyncEmbedder, frames: Crops, audio: Sound) -> SyncScores:
    """Score a face crop at constant 25 frames/s against its sound, as ``SyncNetInstance.evaluate`` does.

    Windows of five frames and 20 MFCC columns, sound moved by up to 15 frames to either side, beyond the clip's ends
    zero embeddings, Euclidean distances averaged over windows. Source: joonson/syncnet_python; its Sync-D and Sync-C
    are Wav2Lip's LSE-D and LSE-C. Frames enter as they are, without the JPEG step of the official scripts.

    Args:
        network: `SyncNet`, or anything that embeds as it does.
        frames: [T, 224, 224, 3] uint8, BGR, the crop of one face track.
        audio: [S] int16, mono, 16 kHz, beginning with the first frame. The longer side is cut at the shorter.

    Raises:
        DubbenchError: on other types or shapes, or if picture or sound is shorter than six frames.
    """
    stream = SyncStream(network, audio)
    stream.add(frames)
    return stream.finish()


class _Faces(ClipStream):
    """Every face track against its sound; the longest one's scores are the clip's."""

    def __init__(self, clip: Clip) -> None:
        self._follow = follower(clip.options.sync, clip.networks, speech_of(clip), clip.device)

    def look(self, image: Image, boxes: Sequence[Box], to_256: NDArray[np.float64]) -> None:
        self._follow.add(image, boxes)

    def finish(self) -> dict[str, float]:
        try:
            tracks = self._follow.finish()
        except DubbenchError as error:
            raise NoValue(str(error)) from error
        if not tracks:
            raise NoValue(NO_TRACK)
        scores = tracks[0].scores
        return {
            "sync_c": scores.lse_c,
            "sync_d": scores.lse_d,
            "av_offset": float(scores.av_offset),
            "sync_tracks": len(tracks),
            "sync_windows": scores.n_windows,
        }


COMPUTE: dict[str, ClipMetric] = {"sync_c": _Faces, "sync_d": _Faces, "av_offset": _Faces}
NETWORKS = {
    "syncnet": Pretrained(lambda _: pretrained.syncnet(), SYNCNET),
    "s3fd": Pretrained(lambda _: pretrained.s3fd(), DETECTOR),
}
