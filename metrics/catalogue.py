"""The catalogue of metrics under their result names: what every record, table and page says of them.

It imports nothing heavy, so that what only reads results starts at once; `dubbench.metrics` knows how to compute them.
"""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", ""]
Needs = Literal["pixels", "landmarks", "crops", "faces", "speech", "motion", "pool"]


@dataclass(frozen=True)
class Definition:
    """A metric as results record it.

    Attributes:
        text: the definition in one line.
        unit: what a value is measured in.
        better: the good direction; empty where there is none to compare by.
        version: raised whenever the same frames could get another value.
        needs: what it is computed on, and so what can be missing: ``pixels`` and ``crops`` every frame's crop,
            ``landmarks`` frames with a face on both sides, ``faces`` frames with a face in the ground truth,
            ``speech`` a face track and its speech (a value a clip), ``motion`` frames with a face on both sides (a
            value a clip), ``pool`` all frames of a split (one value).
        network: key of the network it needs in a `dubbench.metrics.suite.Suite`; empty for none.
    """

    text: str
    unit: str
    better: Better
    version: int
    needs: Needs
    network: str = ""


DEFINITIONS: dict[str, Definition] = {
    "psnr": Definition("10 log10(255^2 / MSE) a frame", "dB", "higher", 1, "pixels"),
    "ssim": Definition(
        "SSIM, 11-tap Gaussian of sigma 1.5, population covariance, border of 5 left out, mean of RGB",
        "1",
        "higher",
        1,
        "pixels",
    ),
    "ms_ssim": Definition("MS-SSIM, five scales, 11-tap Gaussian of sigma 1.5, relu", "1", "higher", 1, "pixels"),
    "mse": Definition(
        "mean squared error over pixels and channels",
        "grey levels^2",
        "lower",
        1,
        "pixels",
    ),
    "psnr_mouth": Definition(
        "PSNR inside the box of the ground truth's mouth landmarks, widened by 25 % a side",
        "dB",
        "higher",
        1,
        "pixels",
    ),
    "ssim_mouth": Definition(
        "mean of the SSIM map inside the box of psnr_mouth",
        "1",
        "higher",
        1,
        "pixels",
    ),
    "lpips_alex": Definition("LPIPS 0.1 with AlexNet's features", "1", "lower", 1, "crops", "lpips_alex"),
    "lpips_vgg": Definition("LPIPS 0.1 with VGG16's features", "1", "lower", 1, "crops", "lpips_vgg"),
    "csim": Definition(
        "cosine of identity embeddings of faces in ArcFace's template, by the ground truth's points in both",
        "1",
        "higher",
        1,
        "faces",
        "embedder",
    ),
    "lmd": Definition(
        "mean distance of the 20 mouth landmarks, each mouth centred, in the 256-pixel aligned frame",
        "px@256",
        "lower",
        1,
        "landmarks",
    ),
    "lmd_iod": Definition(
        "lmd over the ground truth's distance of the outer eye corners",
        "eye distances",
        "lower",
        1,
        "landmarks",
    ),
    "lmd_uncentred": Definition(
        "lmd without centring",
        "px@256",
        "lower",
        1,
        "landmarks",
    ),
    "f_lmd": Definition(
        "mean distance of all 68 landmarks, each face centred, in the 256-pixel aligned frame",
        "px@256",
        "lower",
        1,
        "landmarks",
    ),
    "f_lmd_uncentred": Definition(
        "f_lmd without centring",
        "px@256",
        "lower",
        1,
        "landmarks",
    ),
    "sync_c": Definition(
        "SyncNet v2 confidence (LSE-C) of the longest face track: median less minimum of the 31 shifts' mean distances",
        "1",
        "higher",
        1,
        "speech",
        "syncnet",
    ),
    "sync_d": Definition(
        "SyncNet v2 distance (LSE-D) of the longest face track: the smallest of the 31 shifts' mean distances",
        "1",
        "lower",
        1,
        "speech",
        "syncnet",
    ),
    "av_offset": Definition(
        "shift of that smallest distance; negative where the sound comes late", "frames", "", 1, "speech", "syncnet"
    ),
    "sync_similarity": Definition(
        "mean cosine of dubbench's sync expert over all windows of five aligned frames and their speech",
        "1",
        "higher",
        1,
        "speech",
        "sync_expert",
    ),
    "style_sim": Definition(
        "StyleSim: mean over 4-s windows of the cosine of dubbench's style encoder, expression-only vertices fitted to "
        "the 68 landmarks of either video",
        "1",
        "higher",
        1,
        "motion",
        "style_encoder",
    ),
    "fid": Definition(
        "Frechet distance of pytorch-fid's Inception features over all crops of the split",
        "1",
        "lower",
        1,
        "pool",
        "inception",
    ),
    "kid": Definition(
        "unbiased squared MMD of the same features, cubic kernel, over at most 5000 crops a side",
        "1",
        "lower",
        1,
        "pool",
        "inception",
    ),
}
