"""Ablations as data: which models are a table's rows, and what makes each of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dubbench.ablations.tables import KIND, find, load, variants
from dubbench.cli import main
from dubbench.core.config_names import CONFIGS, names, read
from dubbench.errors import DubbenchError
from dubbench.models.radio.module import Radio
from dubbench.papers import columns, printed
from dubbench.protocols import protocol
from tests import ROOT

TABLES = {
    "radio": ["radio:2", "radio_supplement:1"],
    "personatalk": ["personatalk:4"],
    "realtalk": ["realtalk:5", "realtalk:6", "realtalk:7"],
    "g4g": ["g4g:2"],
}


@pytest.mark.parametrize("name", names(KIND))
def test_a_tables_rows_and_columns_are_all_there(name: str) -> None:
    ablation = load(name)
    rows = [row.row for row in printed(ablation.paper) if row.table == ablation.table]
    assert list(ablation.rows) == rows
    assert set(ablation.metrics) == {column.name for column in columns(ablation.paper, ablation.table)}
    assert ablation.protocol in names("protocol")
    for experts in (ablation.experts, ablation.tiny_experts):
        assert set(experts.values()) <= set(names("model"))


@pytest.mark.parametrize("method", TABLES)
def test_variants_differ_in_their_settings_and_in_nothing_else(method: str) -> None:
    found = find(method)
    assert sorted(ablation.spec for ablation in found) == sorted(TABLES[method])
    full: dict[str, tuple[str, ...]] = {}
    for ablation in found:
        for tiny in (False, True):
            chosen = variants(ablation, tiny)
            words = [tuple(variant.words) for variant in chosen.values()]
            assert len(set(words)) == len(words) == len(ablation.rows)
            for variant in chosen.values():
                # One name is one model, whichever table it stands in.
                assert full.setdefault(variant.name, tuple(variant.words)) == tuple(variant.words)
                assert {"--model", f"{method}_tiny"} <= set(variant.words) or not tiny


def test_tiny_variants_are_the_tiny_config_with_the_papers_setting() -> None:
    (table,) = find("radio", "radio:2")
    found = variants(table, tiny=True)
    assert found["C + Fidelity mapping w/o ViT"].words[:4] == ["--model", "radio_tiny", "--model.variant", "C"]
    (fia,) = find("realtalk", "realtalk:7")
    blocks = {row: variant.values["renderer.blocks"] for row, variant in variants(fia, tiny=True).items()}
    assert blocks == {"Flow": 2, "Deformation": 2, "Blocks=1": 1, "Blocks=3": 3, "Final (FIA)": 2}
    (prior,) = find("realtalk", "realtalk:5")
    rows = variants(prior, tiny=True)
    seen = {
        row: (v.values["transformer.shape_prior"], v.values["transformer.history_prior"]) for row, v in rows.items()
    }
    assert list(seen.values()) == [(False, False), (True, False), (False, True), (True, True)]
    assert all(("✓" in row.partition(",")[0]) == shape for row, (shape, _) in seen.items())
    assert all(("✓" in row.partition(",")[2]) == history for row, (_, history) in seen.items())
    assert all(variant.words[-2:] == ["--model.stages", "expression"] for variant in rows.values())


@pytest.mark.parametrize("name", ["realtalk_mask", "realtalk_fia"])
def test_realtalks_renderers_are_scored_with_own_speech_and_the_papers_history(name: str) -> None:
    """Reconstruction, and N = 16 expressions from anywhere in the clip (4.1), which one frame cannot give."""
    rules = protocol.load(load(name).protocol)
    assert (rules.driving, rules.references) == ("own", "native")
    assert set(load(name).scored()) <= set(rules.metrics)


def test_the_supplements_ends_are_the_main_papers() -> None:
    table = load("radio_vit")
    judged = {"sync_expert": None, "sync_weight": 0}
    with torch.device("meta"):
        model = Radio(**{**read("model", "radio_d")["init_args"], **judged})
    assert (model.hparams["variant"], model.hparams["vit_blocks"], model.hparams["vit_layers"]) == ("D", 2, 2)
    values = {row.row: row.texts for paper in ("radio", "radio_supplement") for row in printed(paper)}
    assert values["Baseline"] == values["B + Style modulation"]
    assert values["+ ViT(2, 2)"] == values["D + Fidelity mapping w/ ViT"]
    assert [table.rows["Baseline"], table.rows["+ ViT(2, 2)"]] == ["radio_b", "radio_d"]


# What each variant changes of its method's constructor as a whole, base and method's config included.
VARIANTS: dict[str, dict[str, Any]] = {
    "radio_a": {"variant": "A"},
    "radio_b": {"variant": "B"},
    "radio_c": {"variant": "C"},
    "radio_d": {},
    "radio_vit_1_1": {"vit_blocks": 1, "vit_layers": 1},
    "radio_vit_1_2": {"vit_blocks": 1},
    "personatalk_no_style": {"transformer.style": False},
    "personatalk_no_face_attention": {"renderer.face_attention": False},
    "personatalk_no_lip_attention": {"renderer.lip_attention": False},
    "personatalk_no_frame_selection": {"frame_selection": False},
    "realtalk_no_prior": {"transformer.shape_prior": False, "transformer.history_prior": False},
    "realtalk_no_history": {"transformer.history_prior": False},
    "realtalk_no_shape": {"transformer.shape_prior": False},
    "realtalk_naive_mask": {"mask": "naive"},
    "realtalk_flow": {"renderer.alignment": "flow"},
    "realtalk_deformation": {"renderer.alignment": "deformation"},
    "realtalk_1_block": {"renderer.blocks": 1},
    "realtalk_3_blocks": {"renderer.blocks": 3},
    "g4g_no_alignment": {"alignment": False},
    "g4g_no_supervision": {"supervision": False},
    "g4g_no_fusion": {"fusion": False},
}
SHARED: dict[str, dict[str, Any]] = {
    "radio": {"size": 96, "sync_expert": "sync_expert_96", "sync_weight": 0.1},
    "g4g": {"sync_expert": "sync_expert_face"},
}


def parsed(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """All constructor arguments of a model as `dubbench fit` parses them, by name."""
    assert main(["fit", "--model", name, "--dataset", "grid", "--print_config"]) == 0
    return flat(yaml.safe_load(capsys.readouterr().out)["model"]["init_args"])


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_parses_to_its_method_with_its_own_settings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    method = name.partition("_")[0]
    kind = read("model", method)["class_path"]
    assert read("model", name)["class_path"] == kind
    assert parsed(name, capsys) == {**parsed(kind, capsys), **SHARED.get(method, {}), **VARIANTS[name]}


def test_variants_are_named_once_and_all_of_them_are_here() -> None:
    tables = [load(stem) for stem in names(KIND)]
    assert sorted(VARIANTS) == sorted(name for table in tables for name in table.variants)
    files = {path.stem for path in (CONFIGS / "model").glob("*.yaml")}
    assert not files & set(VARIANTS)
    assert {*files, *VARIANTS} == set(names("model"))


def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = yaml.safe_load((ROOT / "configs/ablation/radio.yaml").read_text())
    (tmp_path / KIND).mkdir()
    monkeypatch.setattr("dubbench.ablations.tables.CONFIGS", tmp_path)
    for change, sentence in (
        ({"rows": {"E": "radio_a"}}, "RADIO, Table 2 has no row 'E'"),
        ({"variants": {"radio_a": {"varaint": "A"}}}, "radio_a sets 'varaint', which Radio does not take"),
        ({"base": {"optim": {"rl": 1}}}, "base sets 'optim.rl', which Radio does not take"),
        ({"rows": {"A Baseline": "radio_e"}}, "has no model 'radio_e'"),
        ({"metrics": {"SSIM": "ssim"}}, "has no column 'SSIM'"),
        ({"metrics": {"PSNR": "pnsr"}}, "no metric is called 'pnsr'"),
        ({"paper": "wav2lip"}, "no paper is called 'wav2lip'"),
        ({"split": "validation"}, "there is no split 'validation'; there are train, val, test"),
        ({"colour": "red"}, "has the unknown colour"),
    ):
        (tmp_path / KIND / "radio.yaml").write_text(yaml.safe_dump({**good, **change}))
        with pytest.raises(DubbenchError, match=sentence):
            load("radio")
