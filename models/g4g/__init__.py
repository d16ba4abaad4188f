"""G4G: a generic framework for high fidelity talking face generation, by fine-grained alignment (Zhang et al., 2024).

In a face crop the mouth region is occluded, features of five reference frames are deformed channel by channel as
source, landmarks and speech ask for, a decoder draws the face, and a blend network sets it into the source.

    alignment.py        encoders (eqs. 2 to 4), intra-modality alignment (eq. 5), g_v and g_a (eqs. 6 and 7) (3.1)
    adaptive_affine.py  the affine transform of each channel, eq. 11 (3.2)
    networks.py         deformation, decoder with heads at three scales (3.2), and the generator of all parts
    fusion.py           composition with the Gaussian-smoothed face mask, blend network (3.2)
    masks.py            landmark maps L_r (3.1), that face mask, and the masks of several sizes that supervise (3.2)
    losses.py           eqs. 8 to 10 and 12 to 15, and the discriminators of frames and of clips (3.1.2, 3.3)
    dubbing.py          one clip as a stream: crops cut out, drawn and put back (4.3)
    module.py           training, eqs. 16 and 17, and all options (3.3, 4.3, Table 2)

Ablations: Table 2's three are ``--model.alignment``, ``--model.supervision`` and ``--model.fusion``, each false;
``configs/ablation/g4g.yaml`` trains them. Sections 4.3 and 4.4 of the paper say the same twice; 4.3 is cited here.

Elsewhere: E_a of eq. 1 (``layers/se_resnet.py``), the crop of 416 x 320, which is DINet's (``face/crops.py``), the sync
expert of eq. 16 (``sync_expert``, trained on face crops), the loss that eqs. 8 to 10 and 16 share
(``layers/contrast.py``), speech of other moments of a clip (``datamodules/moments.py``).

Where the paper is silent or cannot be read literally: all widths but F_ref's (`networks.Generator`), what E_a is
(RADIO's audio encoder, for the mel windows of Wav2Lip), which coordinates eq. 11 maps to which (``adaptive_affine.py``)
and how far (`networks.Deformation`), the missing division by tau in eqs. 8 and 9 and which pairs are negative
(`losses.contrastive`), of what l_s of eq. 12 is (`losses.attribute`), the sizes of the masks (``masks.py``), which
landmarks the contrastive term sees (`networks.Generator.aligned`), which five references a clip gives (``dubbing.py``).
"""
