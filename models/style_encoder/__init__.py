"""The style encoder Phi: the speaking style of a stretch of expression, which StyleSim compares (PersonaTalk 4.2).

It is another network than the style embedding S of PersonaTalk's own generator (3.1), and judges any method. 4.5 makes
Figure 5 by "our style encoding module", which can be either; here it is this one, so that the figure is any method's.

PersonaTalk's is not published; its design is DiffPoseTalk's (Sun et al. 2023, 3.2), which this follows.

    networks.py   the transformer, its loss NT-Xent, and the share of triplets that it orders rightly
    module.py     training, and styles of prepared clips (4.5, Figure 5)

Where both papers are silent, or their code does something else: `networks.StyleNetwork` (positions), `StyleEncoder`
(what of the vertices it sees, ``offset``).
"""
