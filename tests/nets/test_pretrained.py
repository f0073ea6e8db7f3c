"""Weights of an encoder from a file, and from a hub that answers on this machine: the layers are those of the file, the
first is adapted to the bands, and the licence is told."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file

from headscarp.core.band import Band
from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.nets import make_net
from headscarp.nets._torchvision import import_with_torchvision
from headscarp.nets.net import Statistics
from headscarp.nets.pretrained import UNKNOWN_LICENCE

FIRST = "conv1.weight"
LICENCE = "apache-2.0"


@pytest.fixture(scope="module")
def state():
    """A ResNet-18 for three bands, classifier included, with batch statistics of its own."""
    torch.manual_seed(5)
    made = import_with_torchvision("timm").create_model("resnet18", pretrained=False, in_chans=3, num_classes=7)
    found = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    for name in found:
        if name.endswith("running_mean"):
            found[name] = torch.rand_like(found[name])
    return found


@pytest.fixture(scope="module")
def files(state, tmp_path_factory):
    """The same weights in the forms that they come in."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(state, folder / "plain.safetensors", metadata={"license": LICENCE})
    torch.save({"state_dict": {f"module.encoder.{k}": v for k, v in state.items()}, "license": LICENCE},
               folder / "wrapped.pth")  # fmt: skip
    torch.save(state, folder / "bare.pt")
    return folder


def new_net(name, bands, weights, **said):
    statistics = Statistics({f"b{i}": 0.0 for i in range(bands)}, {f"b{i}": 1.0 for i in range(bands)}, 0.1)
    arguments = {"weights": str(weights), **said, **({"window_px": 32} if name == "deeplab" else {"patch_px": 16})}
    bands_ = [Band(f"b{i}", "continuous") for i in range(bands)]
    return make_net(name, bands_, resolution_m=10.0, statistics=statistics, arguments=arguments)


def encoder_of(net):
    return net.trunk.encoder if hasattr(net.trunk, "encoder") else net.trunk.classifier


@pytest.mark.parametrize("file", ["plain.safetensors", "wrapped.pth"])
@pytest.mark.parametrize(
    ("name", "bands"), [("deeplab", 6), ("patch", 14), ("deeplab", 14), ("patch", 6), ("patch", 3)]
)
def test_all_layers_are_those_of_the_file(name, bands, file, files, state):
    net = new_net(name, bands, files / file)
    own = encoder_of(net).state_dict()
    loaded = [key for key in state if not key.startswith("fc.") and not key.endswith("num_batches_tracked")]
    assert len(loaded) == 100
    assert all(torch.equal(own[key], state[key]) for key in loaded if key != FIRST)
    assert own[FIRST].shape[1] == bands
    # What three bands say is said alike by the same three, again and again: sums stay as large as they were.
    x = torch.randn(1, 3, 32, 32)
    often = x[:, torch.arange(bands) % 3]
    if bands % 3 == 0:
        wanted = torch.nn.functional.conv2d(x, state[FIRST])
        assert torch.allclose(torch.nn.functional.conv2d(often, own[FIRST]), wanted, atol=1e-5)
    assert torch.allclose(own[FIRST][:, 0] * bands, state[FIRST][:, 0] * 3, atol=1e-6)
    assert net.pretrained["licence"] == LICENCE
    assert net.pretrained["source"].endswith(file)
    assert len(net.pretrained["sha256"]) == 64


def test_a_licence_beside_the_file_is_read_and_its_absence_is_told(files):
    with pytest.warns(HeadscarpWarning, match="states no licence"):
        assert new_net("patch", 3, files / "bare.pt").pretrained["licence"] == UNKNOWN_LICENCE
    said = {"weights_licence": "MIT", "weights_source": "https://example.org/bare.pt"}
    for name in ("patch", "deeplab"):
        kept = new_net(name, 3, files / "bare.pt", **said).pretrained
        assert (kept["licence"], kept["source"], kept["file"]) == ("MIT", "https://example.org/bare.pt", "bare.pt")
    (files / "bare.pt.license").write_text("CC-BY-NC-4.0\n")
    assert new_net("patch", 3, files / "bare.pt").pretrained["licence"] == "CC-BY-NC-4.0"


def test_files_that_are_none_are_refused(files, state, tmp_path):
    torch.save({"state_dict": state, "by": subprocess.run}, tmp_path / "code.pth")  # would run code if unpickled
    with pytest.raises(SourceError, match="tensors only"):
        new_net("patch", 3, tmp_path / "code.pth")
    save_file({k: v for k, v in state.items() if not k.startswith("layer3.")}, tmp_path / "part.safetensors")
    with pytest.raises(RecipeError, match=r"'layer3\.0\.conv1\.weight'"):
        new_net("deeplab", 6, tmp_path / "part.safetensors")
    other = {**state, "layer1.0.conv1.weight": torch.zeros(32, 64, 3, 3)}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(RecipeError, match=r"is \(32, 64, 3, 3\)"):
        new_net("patch", 6, tmp_path / "other.safetensors")


FROM_HUB = """
import json, sys
from headscarp.core.band import Band
from headscarp.nets import make_net
from headscarp.nets.net import Statistics
names = ["blue", "green", "red", "nir", "swir1", "swir2"]
bands = [Band(name, "continuous") for name in names]
statistics = Statistics(dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0), 0.1)
said = {}
for net, own in (("patch", {"patch_px": 16}), ("deeplab", {"window_px": 32})):
    made = make_net(net, bands, resolution_m=10.0, statistics=statistics, arguments={"weights": "imagenet", **own})
    encoder = made.trunk.classifier if net == "patch" else made.trunk.encoder
    first, last = encoder.state_dict()["conv1.weight"], encoder.state_dict()["layer4.1.conv2.weight"]
    said[net] = [list(first.shape), first[3, 4].sum().item(), last[5, 6].sum().item(), dict(made.pretrained)]
own = {"weights": "imagenet", "encoder": "resnet18", "place_px": 16, "channels": 8}
made = make_net("forecast", bands, resolution_m=30.0, statistics=statistics, arguments=own)
encoder = made.encoder.eye.encoder.state_dict()
first, last = encoder["conv1.weight"], encoder["layer4.1.conv2.weight"]
said["forecast"] = [list(first.shape), first[3, 0].sum().item(), last[5, 6].sum().item(), dict(made.pretrained)]
print(json.dumps(said))
"""


@pytest.fixture
def hub(files, state, tmp_path):
    """A hub that has the weights under whatever name they are asked for; (its address, the paths that were asked)."""
    thousand = {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    save_file(thousand, tmp_path / "model.safetensors")
    held = {"model.safetensors": (tmp_path / "model.safetensors").read_bytes(), "config.json": b"{}"}
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.wfile.write(self.answer())

        def answer(self):
            asked.append(self.path)
            body = held.get(self.path.partition("?")[0].rpartition("/")[2])
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("ETag", f'"{len(body or b"")}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            return body or b""

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_weights_come_from_the_hub(hub, state, tmp_path):
    address, asked = hub
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    environment = {k: v for k, v in environment.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    done = subprocess.run(
        [sys.executable, "-c", FROM_HUB], capture_output=True, text=True, timeout=280, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    for net, (shape, first, last, pretrained) in said.items():
        bands = 3 if net == "forecast" else 6  # it reads red, green and blue by their names
        wanted = state[FIRST][3, 0] if net == "forecast" else state[FIRST][3, 1] / 2
        assert shape == [64, bands, 7, 7]
        assert first == pytest.approx(wanted.sum().item(), rel=1e-4)
        assert last == pytest.approx(state["layer4.1.conv2.weight"][5, 6].sum().item(), rel=1e-4)
        assert pretrained["licence"]
    assert said["patch"][3]["source"].startswith("timm/resnet18")
    assert any("timm/resnet18" in path for path in asked)
    assert any("smp-hub" in path for path in asked)
