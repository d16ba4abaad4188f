"""Faces of the ground truth in whole evaluations: found once, whatever becomes of results and cache."""

from pathlib import Path

import pytest
import yaml

from dubbench.core.config_names import resolve
from dubbench.evaluation.evaluate import evaluate
from dubbench.evaluation.landmark_cache import Points
from dubbench.face.landmarks import FaceMesh
from dubbench.media.container import Image
from tests import talking
from tests.scored import values


def alike(values: dict[str, str], others: dict[str, str]) -> bool:
    """Equal but for the noise floors, which detect anew."""
    return {k: v for k, v in values.items() if "floor" not in k} == {
        k: v for k, v in others.items() if "floor" not in k
    }


def test_evaluations_look_at_the_ground_truth_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever folder the results lie, unless what was kept is damaged; a clip that was stopped leaves nothing."""
    monkeypatch.setenv("DUBBENCH_CACHE", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "landmarks"
    choices = yaml.safe_load(Path(resolve("protocol", "first_frame")).read_text())
    protocol = tmp_path / "lips.yaml"
    protocol.write_text(yaml.safe_dump({**choices, "metrics": {"mse": 1, "lmd": 1}}))
    source = [image.tobytes() for image in talking.frames("ann/two")]
    looked: list[int] = []
    detect = FaceMesh.detect

    def spy(self: FaceMesh, rgb: Image, place: Points | None = None) -> list[Points]:
        if rgb.tobytes() in source:
            looked.append(source.index(rgb.tobytes()))
            if looked[-1] == stop:
                raise KeyboardInterrupt
        return detect(self, rgb, place)

    def run(name: str) -> dict[str, str]:
        looked.clear()
        out = evaluate(prepared, {}, out=tmp_path / name, protocol=protocol, clips=["ann/two"])
        return values(out, "ground_truth")

    monkeypatch.setattr(FaceMesh, "detect", spy)
    stop = 7
    with pytest.raises(KeyboardInterrupt):
        run("first")
    assert not list(cache.iterdir())
    stop = -1
    first = run("first")
    assert looked == list(range(10))
    assert alike(run("second"), first)
    assert looked == []
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert alike(run("third"), first)
    assert looked == list(range(10))
    kept.unlink()
    assert run("third") == values(tmp_path / "third", "ground_truth")
    assert looked == [], "a result that is kept needs no faces"
    assert not kept.exists()
