"""Speech that is not a window's own, by which validation tells whether stage 1 listens."""

from torch import Tensor

from dubbench.datamodules.batch import Batch


def other_speech(batch: Batch) -> Tensor | None:
    """For each row of a batch what another row of it says: [B, T * 640], the same for the same batch.

    Another clip's, where the batch holds one; validation's windows come clip by clip, so that a row's neighbour mostly
    says the same. Of a batch of one clip it is another moment of that, no frame of which is the row's own.

    Returns:
        None if a row has neither.
    """
    starts, length = batch.indices[:, 0].tolist(), batch.indices.shape[1]
    chosen = []
    for row, (clip, start) in enumerate(zip(batch.clips, starts, strict=True)):
        others = [k for k, name in enumerate(batch.clips) if name != clip]
        others = others or [k for k, other in enumerate(starts) if abs(other - start) >= length]
        if not others:
            return None
        # Not the first for all: what one row says may by chance be what they say.
        chosen.append(others[row % len(others)])
    return batch.waveform[chosen]
