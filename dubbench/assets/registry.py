"""The list of pretrained files: what they are for, where they come from, and their fingerprints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """A pretrained file that we may not or need not ship.

    Attributes:
        name: file name.
        needed_by: what asks for it.
        licence: of the weights.
        urls: where it is offered, the makers' own first; none for a file that by its licence every user brings.
        digest: sha256 of the file; empty if not known: it is recorded on first use and holds from then on.
        size: bytes; 0 if not known.
        member: its name in the archive, for those of ``urls`` that are zip archives.
    """

    name: str
    needed_by: str
    licence: str
    urls: tuple[str, ...]
    digest: str = ""
    size: int = 0
    member: str = ""

    @property
    def manual(self) -> bool:
        """Whether every user must bring an own copy."""
        return not self.urls


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data"
_LATENTSYNC = "https://huggingface.co/ByteDance/LatentSync-1.6/resolve/main/auxiliary"
_TORCHVISION = "https://download.pytorch.org/models"
_HUBERT = "https://huggingface.co/facebook/hubert-base-ls960/resolve/dba3bb02fda4248b6e082697eee756de8fe8aa8a"
_INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7"

ROWS = (
    Asset(
        name="syncnet_v2.model",
        needed_by="lip sync (sync_d, sync_c, av_offset)",
        licence="none stated",
        urls=(f"{_OXFORD}/syncnet_v2.model", f"{_LATENTSYNC}/syncnet_v2.model"),
        digest="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
        size=54_573_114,
    ),
    Asset(
        name="sfd_face.pth",
        needed_by="lip sync under the protocol pipeline",
        licence="none stated",
        urls=(f"{_OXFORD}/sfd_face.pth", f"{_LATENTSYNC}/sfd_face.pth"),
        digest="d54a87c2b7543b64729c9a25eafd188da15fd3f6e02f0ecec76ae1b30d86c491",
        size=89_844_381,
    ),
    Asset(
        name="example.avi",
        needed_by="SyncNet's check clip (offset 3, 5.353, 10.021)",
        licence="none stated",
        urls=(f"{_OXFORD}/example.avi",),
        digest="1724121b3a50141cfc9e77c034f7de914024d015b92762ae12d3e1a7151b8621",
    ),
    Asset(
        name="pt_inception-2015-12-05-6726825d.pth",
        needed_by="FID and KID",
        licence="Apache-2.0",
        urls=(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
        ),
        digest="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        size=95_628_359,
    ),
    Asset(
        name="alexnet-owt-7be5be79.pth",
        needed_by="LPIPS (alex)",
        licence="BSD-3-Clause",
        urls=(f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",),
        digest="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        size=244_408_911,
    ),
    Asset(
        name="vgg16-397923af.pth",
        needed_by="LPIPS (vgg)",
        licence="BSD-3-Clause",
        urls=(f"{_TORCHVISION}/vgg16-397923af.pth", f"{_LATENTSYNC}/vgg16-397923af.pth"),
        digest="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        size=553_433_881,
    ),
    Asset(
        name="vgg19-dcbb9e9d.pth",
        needed_by="the perceptual loss (perceptual: vgg19)",
        licence="BSD-3-Clause",
        urls=(f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",),
        digest="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        size=574_673_361,
    ),
    Asset(
        name="w600k_r50.onnx",
        needed_by="CSIM (pack buffalo_l)",
        licence="non-commercial research",
        urls=(f"{_INSIGHTFACE}/buffalo_l.zip",),
        digest="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        size=174_383_860,
        member="w600k_r50.onnx",
    ),
    Asset(
        name="det_10g.onnx",
        needed_by="detecting faces anew for CSIM (pack buffalo_l)",
        licence="non-commercial research",
        urls=(f"{_INSIGHTFACE}/buffalo_l.zip",),
        digest="5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
        size=16_923_827,
        member="det_10g.onnx",
    ),
    Asset(
        name="w600k_mbf.onnx",
        needed_by="CSIM (packs buffalo_s, buffalo_sc)",
        licence="non-commercial research",
        urls=(f"{_INSIGHTFACE}/buffalo_sc.zip", f"{_INSIGHTFACE}/buffalo_s.zip"),
        digest="9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
        member="w600k_mbf.onnx",
    ),
    Asset(
        name="MobileFaceNet.onnx",
        needed_by="CSIM (128-d; not comparable with buffalo_l)",
        licence="Apache-2.0",
        urls=(
            "https://github.com/foamliu/MobileFaceNet/raw/a6cc9032a659b615f477833e1a70b5e7931bcccc/weights/"
            "MobileFaceNet.onnx",
        ),
        digest="b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
        size=3_998_070,
    ),
    Asset(
        name="face_landmarker.task",
        needed_by="face landmarks with mediapipe 0.10.30 or later",
        licence="Apache-2.0",
        urls=(
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
            "face_landmarker.task",
        ),
        digest="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        size=3_758_596,
    ),
    Asset(
        name="koniq_pretrained.pkl",
        needed_by="HyperIQA (prepare --quality hyperiqa)",
        licence="MIT",
        urls=(f"{_LATENTSYNC}/koniq_pretrained.pkl",),
        digest="ff9277bcc68ecc10e77d88b6d0a32825ec3c85562095542734ec6212eaaf6d81",
        size=109_768_650,
    ),
    Asset(
        name="hubert-base-ls960.bin",
        needed_by="HuBERT speech features (speech: base)",
        licence="Apache-2.0",
        urls=(f"{_HUBERT}/pytorch_model.bin",),
        digest="062249fffb353eab67547a2fbc129f7c31a2f459faf641b19e8fb007cc5c48ad",
        size=377_569_754,
    ),
)
