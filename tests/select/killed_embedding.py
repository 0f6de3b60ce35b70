"""Embeds 100 toy functions and, before the call of that number, is killed.

Run: `killed_embedding.py KIND FOLDER CALL`; call 0 never comes. Prints how many were embedded.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

from wavecoder.records import RawCode, digest
from wavecoder.select import embedding
from wavecoder.select.embedders.lexical import Lexical

kind, folder, call = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
calls = embedded = 0


def count(raw_codes):
    global calls, embedded
    calls += 1
    embedded += len(raw_codes)
    if calls == call:
        os.kill(os.getpid(), signal.SIGKILL)


class Toy:
    dimensions = 8
    at_once = 10
    cached = kind == "Kept"

    def fit(self, sample, seed):
        pass

    def embed(self, raw_codes):
        count(raw_codes)
        # Like a model's, the vectors depend on the batch in their last bits.
        noise = len(raw_codes) * 1e-6
        rows = [list(hashlib.sha256(raw.code.encode()).digest()[:8]) for raw in raw_codes]
        return (np.array(rows) / 255 + noise).astype(np.float32)


class CountedLexical(Lexical):
    at_once = 10

    def embed(self, raw_codes):
        count(raw_codes)
        return super().embed(raw_codes)


codes = [f"def f{n}(a):\n    return a.b{n % 7} * {n}{' + 1' * (n % 9)}\n" for n in range(100)]
# A function that comes twice is in the cache the second time, killed or not.
codes[60] = codes[3]
records = [
    RawCode(
        id=f"r{n}",
        language="python",
        name="f",
        code=code,
        docstring=None,
        source="s",
        path="p",
        start_line=1,
        end_line=2,
        content_hash=digest(code),
    )
    for n, code in enumerate(codes)
]
embedding._SHARD = embedding._CACHED_SHARD = 25
embedder = CountedLexical(Lexical.Config()) if kind == "Lexical" else Toy()
embedding.embed_records(
    records, embedder, folder, identity={kind: {}}, seed=0, cache=folder / "cache"
)
print(embedded)
