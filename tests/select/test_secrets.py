"""A secret in raw code is not sent to an embedder that is not on this machine."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from wavecoder import pipeline
from wavecoder.artifact import Artifact
from wavecoder.errors import ConfigError
from wavecoder.pipeline import Recipe, RunOptions
from wavecoder.records import RawCode
from wavecoder.select.near import near

# Put together here, so that nothing that looks for secrets finds one in this file.
SECRET = "gh" + "p_a1B" + "x" * 33


class Server(ThreadingHTTPServer):
    """Gives each text its length and its number of `x` as its vector; remembers what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[str] = []

    @property
    def embedder(self) -> dict[str, object]:
        return {"endpoint": {"model": f"http://127.0.0.1:{self.server_port}/v1#tiny"}}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        self.server.got += texts
        data = [
            {"index": at, "embedding": [len(text), text.count("x")]}
            for at, text in enumerate(texts)
        ]
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def select(folder: Path, embedder: object, k: int, extend: Path | None = None) -> Artifact:
    """Select of six functions, the second with a secret, without the filter against that."""
    codes = [f"def add_{n}(x):\n    y = x + {10**n}\n    return y * {n}\n" for n in range(5)]
    codes.insert(1, f"def send(x):\n    y = x + 1\n    return call({SECRET!r}, y)\n")
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("\n\n".join(codes))
    recipe = Recipe.model_validate(
        {
            "collect": {
                "sources": [{"directory": str(folder / "src")}],
                "filters": dict.fromkeys(("length", "trivial", "secrets"), False),
                "near_duplicates": False,
            },
            "select": {"k": k, "embedder": embedder} | ({"extend": extend} if extend else {}),
            "generate": {"generator": "scripted:none"},
        }
    )
    return pipeline.run(recipe, folder / "run", RunOptions(), last="select")["select"]


def names(artifact: Artifact) -> list[str]:
    return [raw.name for raw in artifact.records(RawCode)]


def test_a_function_with_a_secret_is_refused_and_not_sent(tmp_path: Path, server: Server):
    artifact = select(tmp_path, server.embedder, 3)
    collect = Artifact.open(artifact.folder.parent / "1-collect")
    ids = {raw.name: raw.id for raw in collect.records(RawCode)}
    refused = {one.id: (one.reason, one.detail) for one in artifact.rejected()}
    assert refused[ids["send"]] == ("secret", "a GitHub token on line 3")
    assert [reason for reason, _ in refused.values()].count("not_selected") == 2
    assert set(names(artifact)) | {"send"} <= set(ids) and len(names(artifact)) == 3
    assert set(ids.values()) == set(refused) | {raw.id for raw in artifact.records(RawCode)}
    assert len(server.got) >= 5 and not any(SECRET in text for text in server.got)
    assert len(np.load(artifact.files / "vectors.npy")) == 5
    # Rows behind the one without a vector are not taken for one another.
    last = near(collect, artifact, "add_4")
    assert [one.raw.name for one in (*last.picks, *last.others)].count("send") == 0
    length = {raw.name: len(raw.code) for raw in collect.records(RawCode)}
    for one in (*last.picks, *last.others):
        assert one.distance == pytest.approx(abs(length[one.raw.name] - length["add_4"]))
    with pytest.raises(ConfigError, match="'send' holds a key or password and was not embedded"):
        near(collect, artifact, "send")


def test_one_of_an_earlier_selection_is_not_sent_either(tmp_path: Path, server: Server):
    # Picked on this machine, where it may be.
    earlier = select(tmp_path / "earlier", "lexical", 6)
    assert "send" in names(earlier)
    with pytest.raises(ConfigError, match="0 functions that are not in"):
        select(tmp_path / "later", server.embedder, 1, extend=earlier.folder)
    assert not any(SECRET in text for text in server.got)


def test_too_few_without_a_secret_is_one_sentence(tmp_path: Path, server: Server):
    with pytest.raises(ConfigError, match=r"k is 6 and only 5 functions hold no key.* at most 5"):
        select(tmp_path, server.embedder, 6)
    assert server.got == []
