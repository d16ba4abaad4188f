"""The sync expert: tells whether five frames of lips and the speech about them belong together.

RADIO (3.3, supplement A) calls it the sync discriminator S. Frozen, it is a loss of RADIO (eq. 5) and of G4G (eq. 16);
the metric ``sync_similarity`` asks it, too.

    networks.py   vision encoder S_v, audio encoder S_a, the grey crop, and what other methods' losses call (eq. 4)
    losses.py     eqs. 4 and 5, and a contrastive objective in their place
    module.py     training: which pairs are in sync and off sync, augmentation, a warning when nothing is learnt

Where the paper is silent: what keeps a cosine a probability (`networks.SyncNetwork.embed_lips`), the crop
(``networks.py``), what is off sync (`module.off_sync`).
"""
