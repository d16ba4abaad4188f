"""Metrics of visual dubbing: each a pure function and a thin torchmetrics class."""

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.metrics, not metrics: a second copy of a class is another class")

from dubbench.metrics.lmd import LMD, interocular, lmd
from dubbench.metrics.ms_ssim import MSSSIM, ms_ssim
from dubbench.metrics.mse import MSE, mse
from dubbench.metrics.psnr import PSNR, psnr
from dubbench.metrics.ssim import SSIM, ssim
from dubbench.metrics.suite import DEFINITIONS, Definition, Frames, score

__all__ = [
    "DEFINITIONS",
    "LMD",
    "MSE",
    "MSSSIM",
    "PSNR",
    "SSIM",
    "Definition",
    "Frames",
    "interocular",
    "lmd",
    "ms_ssim",
    "mse",
    "psnr",
    "score",
    "ssim",
]
