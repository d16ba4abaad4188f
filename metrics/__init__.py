"""Metrics of visual dubbing: each a pure function and a thin torchmetrics class."""

if not __name__.startswith("dubbench."):
    raise ImportError("import dubbench.metrics, not metrics: a second copy of a class is another class")

from dubbench.metrics.csim import CSIM, csim, face_crop, five_points
from dubbench.metrics.definitions import DEFINITIONS, Definition, Frames, Truth, score
from dubbench.metrics.embedder import ArcFace
from dubbench.metrics.fid import FID, Moments, frechet_distance
from dubbench.metrics.inception import FIDInception
from dubbench.metrics.kid import KID, FeatureSample, image_keys, kernel_distance
from dubbench.metrics.lmd import LMD, interocular, lmd
from dubbench.metrics.lpips import LPIPS, LPIPSDistance, lpips
from dubbench.metrics.mfcc import mfcc
from dubbench.metrics.ms_ssim import MSSSIM, ms_ssim
from dubbench.metrics.mse import MSE, mse
from dubbench.metrics.psnr import PSNR, psnr
from dubbench.metrics.ssim import SSIM, ssim
from dubbench.metrics.style import StyleSim, style_similarity
from dubbench.metrics.suite import Suite
from dubbench.metrics.sync import Sync, SyncScores, SyncStream, sync_scores
from dubbench.metrics.sync_similarity import SyncSimilarity, sync_similarity
from dubbench.metrics.sync_tracks import SyncTracks, TrackScore
from dubbench.metrics.syncnet import SyncNet

__all__ = [
    "CSIM",
    "DEFINITIONS",
    "FID",
    "KID",
    "LMD",
    "LPIPS",
    "MSE",
    "MSSSIM",
    "PSNR",
    "SSIM",
    "ArcFace",
    "Definition",
    "FIDInception",
    "FeatureSample",
    "Frames",
    "LPIPSDistance",
    "Moments",
    "StyleSim",
    "Suite",
    "Sync",
    "SyncNet",
    "SyncScores",
    "SyncSimilarity",
    "SyncStream",
    "SyncTracks",
    "TrackScore",
    "Truth",
    "csim",
    "face_crop",
    "five_points",
    "frechet_distance",
    "image_keys",
    "interocular",
    "kernel_distance",
    "lmd",
    "lpips",
    "mfcc",
    "ms_ssim",
    "mse",
    "psnr",
    "score",
    "ssim",
    "style_similarity",
    "sync_scores",
    "sync_similarity",
]
