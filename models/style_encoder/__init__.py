"""The style encoder: the speaking style of a stretch of expression, which StyleSim compares (PersonaTalk 4.2).

PersonaTalk's is not published; its design is DiffPoseTalk's (Sun et al. 2023, 3.2), which this follows.

    networks.py   the transformer, its loss NT-Xent, and the share of triplets that it orders rightly
    module.py     training, and styles of prepared clips (Figure 5)

Where both papers are silent, or their code does something else: `networks.StyleNetwork` (positions), `StyleEncoder`
(what of the vertices it sees, ``offset``).
"""
