"""PersonaTalk: bring attention to your persona in visual dubbing (Zhang et al., SIGGRAPH Asia 2024).

Two stages. The first turns speech into the vertices of the speaker's lower face, in the speaker's own style; the second
draws frames of that geometry, their texture sampled by attention from reference frames.

    geometry.py     E_vtx, style embedding, injections of style and template, D_vtx (3.1, eq. 3)
    renderer.py     E_geo (E_ref in 3.2's text), E_tex, Dual-Attention (eq. 4), D_tex (3.2)
    references.py   Algorithm 1 when dubbing (3.2); in training rule ``adjacent`` of `datamodules.batch.Window`
    networks.py     both stages as one generator
    dubbing.py      one clip from speech to geometry to frames, as a stream
    module.py       training of both stages and all options (4.1, Table 4)

Ablations of Table 4: ``--model.transformer.style``, ``--model.renderer.face_attention``,
``--model.renderer.lip_attention`` and ``--model.frame_selection``, each false; ``configs/ablation/personatalk.yaml``
trains them.

Elsewhere: the coefficients of eqs. 1 and 2 (``face3d/fitting.py``), PNCC and lip masks (``face3d/raster.py``), E_aud
(``layers/hubert.py``), how two stages train (``two_stages.py``).

The fit has not all that 3.1 takes over from GANFIT (Gecer et al. 2019): neither its photometric term nor those of
identity and of a face recogniser's features, which need a model of texture. Landmarks, eqs. 1 and 2 are there.

Where the paper is silent or cannot be read literally: one query for all of time (`geometry.StyleInjection`), one key
for all queries (`geometry.TemplateInjection`), which frames style and template come from and all losses
(``module.py``), where positional embeddings start, which of 102,400 keys lips look at, and two rows of Table 4 for one
"single cross-attention layer" (``renderer.py``).
"""
