"""Only named tensors are read from pretrained files; anything else is refused, never run."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from dubbench.assets import store
from dubbench.errors import DubbenchError


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_tensors_come_back_and_truncated_files_are_named(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    state = OrderedDict(a=torch.arange(1000.0), b=torch.ones(2, dtype=torch.int64))
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    read = store.load_tensors(path)
    assert list(read) == ["a", "b"]
    assert all(torch.equal(read[name], state[name]) for name in state)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:size])
        with pytest.raises(DubbenchError, match=rf"{path} is truncated, damaged"):
            store.load_tensors(path)


class Trap:
    """What a hostile pickle holds."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("sprung"),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_more_than_tensors_is_refused_and_not_run(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.pth"
    for content in ({"a": Trap()}, {"a": torch.ones(1), "at": Path("x")}, {"a": 1}, [torch.ones(1)], torch.ones(1)):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(DubbenchError, match=rf"{path} .*more than.* tensors"):
            store.load_tensors(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DubbenchError, match=str(path)):
        store.load_tensors(path)
    assert [left.name for left in tmp_path.iterdir()] == ["net.pth"]
