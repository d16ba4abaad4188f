"""Servers that stall, send nothing, or send what was made to reach beyond its file."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dubbench.assets import download, store
from dubbench.assets.registry import Asset
from dubbench.errors import DubbenchError
from dubbench.metrics.networks.embedder import ArcFace
from tests.server import STILL, Server, serving

DATA = bytes(range(256)) * 100


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT_S", STILL / 4)
    with serving() as running:
        yield running


def enlist(monkeypatch: pytest.MonkeyPatch, server: Server, *, digest: str = "", size: int = 0) -> None:
    asset = Asset("net.pth", "a test", "MIT", (server.url("net.pth"),), digest, size)
    monkeypatch.setattr(store, "ASSETS", {"net.pth": asset})


def test_what_came_before_a_server_stalls_is_kept_and_taken_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["net.pth"], server.stalls = DATA, [1000, 500]
    enlist(monkeypatch, server, digest=sha256(DATA).hexdigest(), size=len(DATA))
    assert store.pull("net.pth").read_bytes() == DATA
    assert [wanted for _, wanted in server.asked] == ["", "bytes=1000-", "bytes=1500-"]


def test_a_server_that_stalls_every_time_leaves_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["net.pth"], server.stalls = DATA, [1000] * download.ATTEMPTS
    enlist(monkeypatch, server, digest=sha256(DATA).hexdigest(), size=len(DATA))
    with pytest.raises(DubbenchError, match="the connection broke after 5000 bytes"):
        store.pull("net.pth")
    part = tmp_path / "cache/dubbench/assets/.net.pth.part"
    assert part.read_bytes() == DATA[:5000]


def test_nothing_is_no_file_even_where_nobody_knows_what_it_should_be(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["net.pth"] = b""
    enlist(monkeypatch, server)
    with pytest.raises(DubbenchError, match="the server sent nothing"):
        store.pull("net.pth")
    assert not list((tmp_path / "cache/dubbench/assets").iterdir())


def test_networks_read_no_data_outside_their_folder(tmp_path: Path) -> None:
    """The weights of an ONNX file may lie in another one; a path that climbs is refused."""
    (tmp_path / "private").write_bytes(np.ones((1, 3 * 112 * 112), np.float32).tobytes())
    (tmp_path / "nets").mkdir()
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3 * 112 * 112, 1])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../private")
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "nets/face.onnx").write_bytes(model.SerializeToString())
    assert onnx.load(tmp_path / "nets/face.onnx", load_external_data=False).graph.initializer[0].external_data
    with pytest.raises(DubbenchError, match="cannot be read as an ONNX network"):
        ArcFace(tmp_path / "nets/face.onnx")
