"""LRS2-BBC (Afouras et al. 2018): ``mvlrs_v1/<main|pretrain>/<broadcast>/<number>.mp4`` with a ``.txt`` beside each."""

import re
from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, ending
from dubbench.datamodules.sources.about import About

LAYOUT = (
    "mvlrs_v1/main/<broadcast>/<number>.mp4 and mvlrs_v1/pretrain/<broadcast>/<number>.mp4, with <number>.txt beside "
    "each, and train.txt, val.txt, test.txt beside or in mvlrs_v1"
)
LISTS = {"train.txt": "train", "val.txt": "val", "test.txt": "test"}
ABOUT = About(
    title="LRS2-BBC (Lip Reading Sentences 2)",
    paper="Afouras et al., Deep Audio-Visual Speech Recognition, TPAMI 2018",
    obtain="Sign the BBC's agreement at www.robots.ox.ac.uk/~vgg/data/lip_reading/lrs2.html, fetch lrs2_v1_parta*, "
    "join them (cat lrs2_v1_parta* > lrs2_v1.tar) and unpack; fetch the lists train.txt, val.txt and test.txt from "
    "the same page and put them beside mvlrs_v1.",
    licence="BBC agreement: academic research only, not passed on",
    size="96,318 clips to pretrain on and 45,839 + 1,082 + 1,243 sentences, about 225 hours",
    fps=(25.0,),
    frames=((160, 160),),
    crop="square around the head",
    speech="in the videos",
    speaker="the folder, which is a broadcast and may show several people; identities are not given",
    split="the corpus' own lists, which are apart by the date of broadcast; pretrain is train",
    labels="a .txt a clip: the sentence ('Text:') and, in pretrain, its words with their times",
    label=".txt",
    lists=tuple(LISTS),
)


def find(root: Path) -> Iterator[RawClip]:
    """Yield the sentences below ``root``; the lists lie in ``root``, in its ``mvlrs_v1`` or at most two levels up.

    A clip of ``pretrain`` is for training, unless the lists name its broadcast for validation or test.
    """
    listed = official(root)
    broadcasts: dict[str, str] = {}
    for part in ("train", "val", "test"):
        broadcasts |= {name.partition("/")[0]: part for name, split in listed.items() if split == part}
    for path, match in ending(root, r"(?P<clip>(?P<part>main|pretrain)/(?P<sentence>(?P<broadcast>\d+)/\d+))"):
        if match["part"] == "main":
            split = listed.get(match["sentence"])
        else:
            split = broadcasts.get(match["broadcast"], "train")
        yield RawClip(match["clip"], match["broadcast"], path, official=split)


def official(root: Path) -> dict[str, str]:
    """Split of every ``<broadcast>/<number>`` that the lists name; a line may carry more after a blank."""
    root = root.absolute()
    found: dict[str, str] = {}
    for name, split in LISTS.items():
        places = (root, root / "mvlrs_v1", *root.parents[:2])
        path = next((place / name for place in places if (place / name).is_file()), None)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path else []
        names = (line.split()[0] for line in lines if line.strip())
        found |= {sentence: split for sentence in names if re.fullmatch(r"\d+/\d+", sentence)}
    return found
