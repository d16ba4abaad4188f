"""The sync expert: tells whether five frames of lips and the speech about them belong together.

RADIO (3.3, supplement A) calls it the sync discriminator S, and 4.4 "our SyncNet"; the supplement takes eqs. 4
and 5 for one another. Frozen, it is a loss of RADIO (eq. 5) and of G4G (eq. 16); the metric ``sync_similarity``, Table
2's column Sync, asks it, too. ``configs/model/sync_expert*.yaml`` have one for each of these.

    networks.py   vision encoder S_v, audio encoder S_a, the grey crop, and what other methods' losses call
    losses.py     eqs. 4 and 5, and a contrastive objective in their place
    module.py     training: which pairs are in sync and off sync, augmentation
    watch.py      warnings while it trains: nothing is learnt, or nothing but the training clips

Where the paper is silent: what keeps a cosine a probability (`networks.SyncNetwork.embed_lips`), the crop and the
vision encoder's widths (``networks.py``), what is off sync and how in-sync pairs are weighed (`module.off_sync`,
`module.SyncExpert.loss`).
"""
