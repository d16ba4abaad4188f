"""RealTalk: real-time and realistic audio-driven face generation with 3D facial prior (Ji et al., 2024).

Two stages. A transformer predicts expression coefficients of a 3D face model from speech, shape and historical
expressions; a light renderer draws the face's lower part from them, from the masked frame and from one reference frame.

    expression.py   audio-to-expression transformer, eqs. 1 and 2, and its losses, eqs. 3 and 4 (3.1)
    mask.py         the learnable mask, eq. 5, and the teeth's, M' of eq. 9 (3.2)
    renderer.py     shared encoder (eq. 6), FIA modules (eq. 7), blending (eq. 8) (3.2)
    alignment.py    the cross-attention of a FIA module, and flow and deformation in its place (Table 7)
    networks.py     both stages as one generator, and what the renderer is given
    streaming.py    dubbing while speech and frames come in (the "real-time" of the title)
    other_speech.py what validation lets stage 1 hear in place of a window's own speech
    module.py       training (eqs. 9 and 10), dubbing and all options (4.1, Tables 5 to 7)

Ablations: Table 5's priors are ``--model.transformer.shape_prior`` and ``history_prior``, Table 6's mask
``--model.mask``, Table 7's reference modules and blocks ``--model.renderer.alignment`` and ``blocks``;
``configs/ablation/realtalk_*.yaml`` train them.

Elsewhere: coefficients of the frames (``face3d``; of the paper's D3DFR or another face model), HuBERT
(``layers/hubert.py``), the outline that the mask fills (``layers/lower_face.py``), how two stages train
(``two_stages.py``).

Where the paper is silent or something else is done: since when training draws from predicted expressions, which eqs. 5
and 7 write (`module.RealTalk.for_drawing`), widths, depths and the period of positions (``expression.py``), the queries
that are all zero (`AudioToExpression.forward`), eq. 4's unit (`expression.VERTEX_UNIT`), the points of the mask and of
the teeth (``mask.py``), the renderer's widths, found by Table 7's sizes, and where its modules stand (``renderer.py``),
what "flow" and "deformation" are (``alignment.py``), which scale coefficients have (`networks.render_coefficients`).
"""
