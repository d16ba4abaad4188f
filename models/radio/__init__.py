"""RADIO: reference-agnostic dubbing video synthesis (Lee et al., WACV 2024).

A StyleGAN2-like decoder G redraws the lower half of each frame. It is modulated by f_W, the style feature f_s of one
reference frame beside the audio feature f_a; ViT blocks in its last two layers look up what f_s is too coarse to tell.

    networks.py         encoders E_c and E_s, f_W and G (3.1, supplement A); variants A to D of Table 2
    stylegan2.py        G's modulated convolutions (3.1)
    vit.py              the ViT block, eq. 1 (3.2)
    attention_maps.py   Att_i,j as Figure 5 shows it (4.4)
    module.py           training and dubbing (3.3, 4.1): eqs. 2 and 6, and what `dub` does with T = 1

Ablations: Table 2's A to D are ``--model.variant``, ViT(n, m) of the supplement's Table 1 ``--model.vit_blocks`` and
``--model.vit_layers``; ``configs/ablation/radio.yaml`` and ``radio_vit.yaml`` train them.

Shared with other methods are E_a (``layers/se_resnet.py``), the discriminator and eq. 3 (``layers/discriminator.py``,
``losses.py``), its training (``adversarial.py``) and the sync discriminator of eqs. 4 and 5 (``sync_expert``).

Where the paper is silent or contradicts itself: widths but the last and at which sizes the layers run
(`networks.Generator`), which layer f_s is made of (`networks.Generator.encode_reference`), the ViT block's token width
and MLP and its patches at 48 pixels (``vit.py``), the weights of eq. 2's layers (`losses.PerceptualLoss`) and of eq. 6,
optimisers, how long the mel window is (``module.py``), noise in the decoder (``stylegan2.py``), regularisation of the
discriminator (``adversarial.py``).
"""
