"""The registry of data sets: mirror first, then cache and public address, never bytes that are not registered."""

import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headscarp.core.errors import SourceError
from headscarp.sources.datasets import (
    CACHE,
    DATASETS,
    MIRROR,
    Dataset,
    DatasetFile,
    dataset_file,
    dataset_of,
    folder_sha256,
    where_is,
)

CONTENT = b"elevation " * 1000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path == "/torn.tif":
            # Half of what was promised, then the line goes dead.
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2])
            return
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "whole.tif").write_bytes(CONTENT)
    (tmp_path / "public" / "other.tif").write_bytes(CONTENT[::-1])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "public"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def tiny(server, tmp_path, monkeypatch):
    """A registry with one more data set, an empty cache and no mirror."""
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    files = {name: DatasetFile(sha256, f"{server}/{name}") for name in ("whole.tif", "other.tif", "torn.tif", "no.tif")}
    files["nowhere.tif"] = DatasetFile(sha256)
    dataset = Dataset("tiny", files, address="https://example.org/tiny", licence="CC0", citation="Nobody (2020)")
    monkeypatch.setitem(DATASETS, "tiny", dataset)
    return tmp_path / "cache" / "tiny"


def test_a_file_is_fetched_once_and_kept(tiny, tmp_path):
    path = dataset_file("dataset:tiny/whole.tif")
    assert path == tiny / "whole.tif"
    assert path.read_bytes() == CONTENT
    (tmp_path / "public" / "whole.tif").unlink()
    assert dataset_file("tiny/whole.tif") == path


@pytest.mark.parametrize(("name", "message"), [("other.tif", "SHA-256 differs"), ("no.tif", "404")])
def test_other_bytes_and_missing_files_are_told(tiny, name, message):
    with pytest.raises(SourceError, match=message):
        dataset_file(f"tiny/{name}")
    assert not tiny.exists() or not any(tiny.iterdir())


def test_half_a_download_is_never_taken_for_whole(tiny):
    with pytest.raises(SourceError, match="nothing was kept"):
        dataset_file("tiny/torn.tif")
    assert not tiny.exists() or not any(tiny.iterdir())


def test_a_damaged_cache_is_told(tiny):
    path = dataset_file("tiny/whole.tif")
    path.write_bytes(CONTENT[:50])
    with pytest.raises(SourceError, match="does not hold the registered bytes"):
        dataset_file("tiny/whole.tif")


def test_the_mirror_comes_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    mirrored = tmp_path / "mirror" / "tiny" / "nowhere.tif"
    mirrored.parent.mkdir(parents=True)
    mirrored.write_bytes(CONTENT)
    assert dataset_file("tiny/nowhere.tif") == mirrored


def test_without_address_and_mirror_the_error_says_what_to_set(tiny):
    with pytest.raises(SourceError, match=r"set HEADSCARP_DATA to a folder that holds tiny/nowhere\.tif"):
        dataset_file("tiny/nowhere.tif")


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(SourceError, match="known: balakot_lsat, ecuador_susceptibility"):
        dataset_file("dataset:bala/x.tif")
    with pytest.raises(SourceError, match="it has: AW3D30"):
        dataset_file("dataset:balakot_lsat/x.tif")


@pytest.fixture
def chips(tmp_path, monkeypatch):
    """A registered folder of two files in a mirror."""
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    folder = tmp_path / "mirror" / "chips" / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1.png").write_bytes(b"one")
    (folder / "images" / "2.png").write_bytes(b"two")
    files = {"train/": DatasetFile(folder_sha256(folder)), "index.csv": DatasetFile("0" * 64)}
    dataset = Dataset("chips", files, address="https://example.org", licence="CC0", citation="Nobody (2020)")
    monkeypatch.setitem(DATASETS, "chips", dataset)
    return folder


def test_a_folder_is_one_file_to_the_registry(chips):
    assert dataset_file("chips/train/") == dataset_file("dataset:chips/train") == chips
    assert where_is("chips") == {"train/": chips, "index.csv": None}


@pytest.mark.parametrize("harm", ["changed", "renamed", "added", "lost"])
def test_a_folder_with_other_files_is_told(chips, harm):
    one = chips / "images" / "1.png"
    if harm == "changed":
        one.write_bytes(b"eins")
    elif harm == "renamed":
        one.rename(one.with_name("3.png"))
    elif harm == "added":
        one.with_name("3.png").write_bytes(b"three")
    else:
        one.unlink()
    with pytest.raises(SourceError, match="does not hold the registered bytes"):
        dataset_file("chips/train/")


def test_where_files_are_is_told_without_reading_them(tiny):
    assert set(where_is("tiny").values()) == {None}
    path = dataset_file("tiny/whole.tif")
    path.write_bytes(b"damaged")
    assert where_is("tiny")["whole.tif"] == path
    with pytest.raises(SourceError, match="there is no data set 'tinny'"):
        where_is("tinny")


@pytest.mark.skipif("HEADSCARP_DATA" not in os.environ, reason="HEADSCARP_DATA names no folder of real data")
@pytest.mark.parametrize("name", DATASETS)
def test_the_real_files_are_the_registered_ones(name):
    for file in DATASETS[name].files:
        assert dataset_file(f"{name}/{file}").exists()


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_says_where_it_is_from(name):
    dataset = dataset_of(f"{name}/{next(iter(DATASETS[name].files))}")
    assert dataset.name == name
    assert dataset.licence
    assert dataset.citation
    assert dataset.address.startswith("https://")
    assert all(len(file.sha256) == 64 for file in dataset.files.values())
