"""What a run may choose of the metrics, with the defaults of command line and suite; nothing heavy is loaded."""

from dataclasses import dataclass
from typing import Literal

SyncRule = Literal["landmark", "pipeline", "precropped"]
EMBEDDERS = ("w600k_r50.onnx", "w600k_mbf.onnx", "MobileFaceNet.onnx")
POOL_MINIMUM = 2048


@dataclass(frozen=True)
class SuiteOptions:
    """What a run chooses.

    Attributes:
        sync: how SyncNet gets to see faces: ``landmark`` tracks and crops the boxes of the face meshes as the official
            pipeline does its detections, ``pipeline`` is that pipeline with S3FD, ``precropped`` takes whole frames.
        embedder: asset name or path of the ONNX file behind CSIM.
        pool_minimum: frames a side below which FID is not reported.
    """

    sync: SyncRule = "landmark"
    embedder: str = EMBEDDERS[0]
    pool_minimum: int = POOL_MINIMUM
