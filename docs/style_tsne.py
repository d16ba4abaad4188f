"""Styles of a prepared folder's clips in the plane by t-SNE, a colour a speaker (PersonaTalk, Figure 5).

python docs/style_tsne.py --ckpt_path runs/style/checkpoints/last.ckpt --root prepared/many --out docs/styles.png
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.models.base import load_model
from dubbench.models.style_encoder.module import StyleEncoder, embed

SHARE = 0.5


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt_path", type=Path, required=True, help="a style encoder's checkpoint")
    parser.add_argument("--root", type=Path, required=True, help="prepared folder with its geometry")
    parser.add_argument("--hop", type=int, default=6, help="frames from one stretch to the next (%(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model = load_model(given.ckpt_path)
    assert isinstance(model, StyleEncoder)
    styles, speakers, late = [], [], []
    for row in read_manifest(given.root).itertuples():
        clip = PreparedClip(given.root, str(row.clip))
        for part in ((0.0, SHARE), (SHARE, 1.0)):
            found = embed(model, clip, part, hop=given.hop)
            styles.append(torch.nn.functional.normalize(found, dim=1))
            speakers += [str(row.speaker)] * len(found)
            late += [part[0] > 0] * len(found)
    plane = TSNE(random_state=0, perplexity=min(20, len(speakers) // 3)).fit_transform(torch.cat(styles).numpy())
    figure = Figure(figsize=(7, 5.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    names, latter = sorted(set(speakers)), np.array(late)
    for number, name in enumerate(names):
        own = np.array(speakers) == name
        colour = colormaps["nipy_spectral"](number / len(names))
        for half, mark, label in ((~latter, "o", name), (latter, "^", None)):
            axes.scatter(*plane[own & half].T, s=14, marker=mark, color=[colour], label=label)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.legend(loc="outside right center", fontsize=6, frameon=False)
    figure.savefig(given.out)


if __name__ == "__main__":
    main()
