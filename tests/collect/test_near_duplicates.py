import keyword
import os
import random
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wavecoder.collect import near_duplicates
from wavecoder.collect.near_duplicates import (
    NearDuplicates,
    band_shape,
    find_duplicates,
    shingles,
    signatures,
)
from wavecoder.errors import ConfigError
from wavecoder.languages import functions

DEFAULT = NearDuplicates()
THRESHOLD, SHINGLE, PERMUTATIONS = DEFAULT.threshold, DEFAULT.shingle, DEFAULT.permutations
CODE = "def area(width, height):\n    return width * height\n"


def jaccard(one, other):
    return len(one & other) / len(one | other)


def hashes(*values):
    return np.array(values, dtype=np.uint64)


def numbered(n):
    return np.arange(n, dtype=np.uint64)


def random_signatures(n, permutations=PERMUTATIONS, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**32, (n, permutations), dtype=np.uint32)


# --- what a function is to be compared by


def test_shingles_are_runs_of_names_numbers_and_marks():
    assert shingles("x1 = f('a b')", 3) == [
        *("x1 = f", "= f (", "f ( '", "( ' a", "' a b", "a b '", "b ' )"),
    ]


def test_code_with_fewer_tokens_than_a_shingle_is_one_shingle():
    assert shingles("return x", 3) == shingles("return\n\tx", 2) == ["return x"]
    assert shingles(" \n", 3) == [""]


def test_layout_does_not_count_and_everything_else_does():
    wide = "def area( width,height ):\n\n        return width*height"
    others = ("width", "w"), ("*", "+"), ("return", "# a\n    return")
    codes = [CODE, wide, *(CODE.replace(*pair) for pair in others)]
    rows = signatures(codes, shingle=SHINGLE, permutations=PERMUTATIONS)
    assert (rows[1] == rows[0]).all()
    for row in rows[2:]:
        assert 0 < (row == rows[0]).mean() < 1


def test_signatures_have_a_row_for_each_function():
    for codes in ([], [CODE], [CODE, "", "\ud800 日本 = 'é'"]):
        rows = signatures(codes, shingle=2, permutations=16)
        assert rows.shape == (len(codes), 16)
        assert rows.dtype == np.uint32


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_signatures_are_the_same_in_every_process_and_on_every_machine(hash_seed):
    program = (
        "from wavecoder.collect.near_duplicates import signatures\n"
        f"print(signatures([{CODE!r}, 'größe = 1'], shingle=3, permutations=4).tolist())"
    )
    # rensa has machine code for several processors; the variable asks for the plain one.
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "RENSA_FORCE_KERNEL": "scalar"}
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(
        signatures([CODE, "größe = 1"], shingle=3, permutations=4).tolist()
    )
    assert told.stdout.strip() == GOLDEN


GOLDEN = (
    "[[327020570, 421879065, 306714133, 1169710610], "
    "[4054684050, 149253196, 3619573039, 1576569732]]"
)


# --- against datasketch and the true similarity, on real functions


def standard_library(count):
    """Cut distinct functions of 50 to 800 characters out of the standard library."""
    rng = random.Random(0)
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    files += sorted(Path(sysconfig.get_path("stdlib"), "email").glob("*.py"))
    rng.shuffle(files)
    found = {}
    for file in files:
        for span in functions(file.read_text(encoding="utf-8"), "python"):
            if 50 <= len(span.code) <= 800:
                found[span.code] = None
        if len(found) >= count:
            break
    codes = list(found)[:count]
    rng.shuffle(codes)
    return codes


def word(rng):
    """Return a new word each time, or the errors of the estimates would depend on each other."""
    return f"word{rng.randrange(10**9)}"


def renamed(code, rng):
    names = {name for name in re.findall(r"\b[a-z_]\w+", code) if not keyword.iskeyword(name)}
    return re.sub(rf"\b{rng.choice(sorted(names))}\b", word(rng), code) if names else code


def with_a_line_more(code, rng):
    lines = code.split("\n")
    place = rng.randint(1, len(lines))
    return "\n".join([*lines[:place], f"    log({word(rng)})", *lines[place:]])


def with_another_constant(code, rng):
    found = list(re.finditer(r"\b\d+\b|'[^'\n]+'|\"[^\"\n]+\"|\bNone\b", code))
    if not found:
        return code
    match = rng.choice(found)
    return f"{code[: match.start()]}{rng.randrange(10**9)}{code[match.end() :]}"


def reformatted(code, rng):
    return re.sub(r"([(\[,])", r"\1 ", code).replace("\n", "\n\n  ")


EDITS = (renamed, with_a_line_more, with_another_constant, reformatted)


@pytest.fixture(scope="module")
def planted():
    """Return 1,000 real functions, shuffled among 600 edited copies of some of them."""
    rng = random.Random(1)
    real = standard_library(1000)
    edited = [EDITS[place % 4](code, rng) for place, code in enumerate(real[:600])]
    codes = real + edited
    rng.shuffle(codes)
    return codes


@pytest.fixture(scope="module")
def pairs():
    """Return 600 pairs of real functions and their edited copies: shingle sets, signatures."""
    rng = random.Random(2)
    codes = standard_library(600)
    edited = []
    for place, code in enumerate(codes):
        for _ in range(place % 5):
            code = rng.choice(EDITS[:3])(code, rng)
        edited.append(code)
    sets = [[frozenset(shingles(code, SHINGLE)) for code in part] for part in (codes, edited)]
    rows = [
        signatures(part, shingle=SHINGLE, permutations=PERMUTATIONS) for part in (codes, edited)
    ]
    return sets, rows


def sketch(tokens):
    found = MinHash(num_perm=PERMUTATIONS)
    found.update_batch([token.encode() for token in tokens])
    return found


def test_the_estimate_is_as_good_as_datasketchs(pairs):
    (ones, others), (rows, other_rows) = pairs
    true = np.array([jaccard(*pair) for pair in zip(ones, others, strict=True)])
    estimate = (rows == other_rows).mean(axis=1)
    sketches = zip(map(sketch, ones), map(sketch, others), strict=True)
    theirs = np.array([one.jaccard(other) for one, other in sketches])

    # An entry is equal with probability J: the mean of P of them has the variance J (1 - J) / P.
    variance = true * (1 - true) / PERMUTATIONS
    expected = np.sqrt(variance.mean())
    assert 0.02 < expected < 0.04
    for found in (estimate, theirs):
        assert np.sqrt(((found - true) ** 2).mean()) < 1.15 * expected
        assert abs((found - true).mean()) < 4 * np.sqrt(variance.sum()) / len(true)
    assert (estimate[true == 1] == 1).all()


def test_bands_find_the_pairs_that_datasketchs_index_finds(pairs):
    (ones, others), (rows, other_rows) = pairs
    weights = (near_duplicates._WEIGHT_FALSE, near_duplicates._WEIGHT_MISSED)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, weights=weights)
    bands, width = band_shape(THRESHOLD, PERMUTATIONS)
    assert (index.b, index.r) == (bands, width)

    true = np.array([jaccard(*pair) for pair in zip(ones, others, strict=True)])
    similar = np.flatnonzero(true >= THRESHOLD)
    assert len(similar) > 300
    for place, tokens in enumerate(ones):
        index.insert(place, sketch(tokens))
    theirs = np.mean([place in index.query(sketch(others[place])) for place in similar])
    equal = (rows == other_rows)[:, : bands * width].reshape(-1, bands, width)
    ours = equal.all(axis=2).any(axis=1)[similar].mean()
    assert ours > 0.99
    assert theirs > 0.99


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.95])
@pytest.mark.parametrize("permutations", [16, 128])
def test_the_bands_are_datasketchs_for_the_same_weights(threshold, permutations):
    weights = (near_duplicates._WEIGHT_FALSE, near_duplicates._WEIGHT_MISSED)
    index = MinHashLSH(threshold=threshold, num_perm=permutations, weights=weights)
    assert band_shape(threshold, permutations) == (index.b, index.r)


def similar(one, other, least):
    """Tell whether the true similarity is `least` or more; sizes too different are told first."""
    sizes = sorted((len(one), len(other)))
    return sizes[0] >= least * sizes[1] and jaccard(one, other) >= least


def true_duplicates(sets):
    """Decide by the true similarity of all pairs, in order."""
    kept, refused = [], set()
    for row, one in enumerate(sets):
        for other in kept:
            if similar(one, sets[other], THRESHOLD):
                refused.add(row)
                break
        else:
            kept.append(row)
    return refused


def test_what_is_refused_is_what_the_true_similarity_of_all_pairs_refuses(planted):
    sets = [frozenset(shingles(code, SHINGLE)) for code in planted]
    rows = signatures(planted, shingle=SHINGLE, permutations=PERMUTATIONS)
    original, similarity = find_duplicates(numbered(len(planted)), rows, THRESHOLD)
    refused = set(np.flatnonzero(original >= 0).tolist())
    true = true_duplicates(sets)
    assert 350 < len(true) < 750
    assert len(refused & true) / len(true) > 0.95
    assert len(refused & true) / len(refused) > 0.95

    # What is clearly similar to a kept function is refused, and no refusal is far off.
    kept = [row for row in range(len(planted)) if row not in refused]
    for row in kept:
        before = (sets[other] for other in kept if other < row)
        assert not any(similar(sets[row], other, THRESHOLD + 0.12) for other in before)
    for row in refused:
        assert original[row] in kept
        exact = jaccard(sets[row], sets[original[row]])
        assert exact > THRESHOLD - 0.15
        assert abs(exact - similarity[row]) < 0.17


def test_other_layout_is_always_found():
    codes = standard_library(300)
    both = codes + [reformatted(code, None) for code in codes]
    rows = signatures(both, shingle=SHINGLE, permutations=PERMUTATIONS)
    original, similarity = find_duplicates(numbered(600), rows, THRESHOLD, initial=300)
    assert (original[300:] >= 0).all()
    assert (similarity[300:] == 1).all()


# --- the decisions, in order


def brute_force(content, rows, threshold, initial):
    """Decide row by row, looking at every kept row."""
    bands, width = band_shape(threshold, rows.shape[1])
    original, similarity, kept = [], [], []
    for row, content_hash in enumerate(content):
        cuts = [slice(band * width, (band + 1) * width) for band in range(bands)]
        same = [other for other in kept if content[other] == content_hash]
        near = [
            (-float((rows[row] == rows[other]).mean()), other)
            for other in kept
            if any((rows[row][cut] == rows[other][cut]).all() for cut in cuts)
        ]
        near = [pair for pair in near if -pair[0] >= threshold]
        if row >= initial and same:
            original.append(same[0])
            similarity.append(1.0)
        elif row >= initial and near:
            original.append(min(near)[1])
            similarity.append(-min(near)[0])
        else:
            kept.append(row)
            original.append(-1)
            similarity.append(0.0)
    return original, similarity


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_each_row_is_decided_as_looking_at_every_kept_row_decides(data):
    n, permutations = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 9))
    values = st.integers(0, data.draw(st.integers(1, 2)))
    row = st.lists(values, min_size=permutations, max_size=permutations)
    rows = data.draw(st.lists(row, min_size=n, max_size=n))
    rows = np.array(rows, dtype=np.uint32).reshape(n, permutations)
    content = hashes(*data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)))
    threshold = data.draw(st.sampled_from([0.2, 0.5, 0.6, 0.75, 1.0]))
    initial = data.draw(st.integers(0, n))
    found = find_duplicates(content, rows, threshold, initial=initial)
    original, similarity = brute_force(content, rows, threshold, initial)
    assert found.original.tolist() == original
    assert found.similarity.tolist() == np.array(similarity, dtype=np.float32).tolist()
    assert (found.original.dtype, found.similarity.dtype) == (np.int64, np.float32)


def test_a_refused_row_is_nobodys_original():
    rows = np.repeat(random_signatures(1), 3, axis=0)
    rows[1:, 98:] += 1
    rows[2, 70:98] += 1
    # 98 of 128 entries equal; then 100 of 128 to the second and 70 of 128 to the first.
    original, similarity = find_duplicates(numbered(3), rows, 0.7)
    assert original.tolist() == [-1, 0, -1]
    assert similarity.tolist() == [0, 98 / 128, 0]


def test_the_earlier_dataset_is_kept_whatever_it_holds_and_named():
    rows = np.repeat(random_signatures(1), 5, axis=0)
    found = find_duplicates(hashes(1, 1, 2, 1, 3), rows, 0.7, initial=3)
    assert found.original.tolist() == [-1, -1, -1, 0, 0]


def test_the_same_content_is_named_before_an_earlier_equal_signature():
    rows = np.repeat(random_signatures(1), 3, axis=0)
    found = find_duplicates(hashes(1, 2, 2), rows, 0.7, initial=2)
    assert found.original.tolist() == [-1, -1, 1]


def test_a_mapped_file_gives_what_an_array_gives(tmp_path):
    rows = np.repeat(random_signatures(3000), 2, axis=0)
    rows[1::2, :30] += 1
    rows.tofile(tmp_path / "signatures")
    mapped = np.memmap(tmp_path / "signatures", np.uint32, "r", shape=rows.shape)
    found = find_duplicates(numbered(6000), mapped, 0.7)
    assert np.array_equal(found, find_duplicates(numbered(6000), rows, 0.7))
    assert (found.original[::2] == -1).all()
    assert np.array_equal(found.original[1::2], np.arange(0, 6000, 2))


def test_a_full_bucket_takes_no_more_and_the_first_in_it_are_still_found():
    bands, width = band_shape(0.7, PERMUTATIONS)
    rows = random_signatures(202)
    rows[:, :width] = 7
    for row, like in ((200, 150), (201, 10)):
        rows[row] = rows[like]
        # One entry in each band but the first: 106 of 128 are equal.
        rows[row, width : bands * width : width] += 1
    found = find_duplicates(numbered(202), rows, 0.7)
    assert near_duplicates._BUCKET < 150
    assert (found.original[:201] == -1).all()
    assert found.original[201] == 10


def test_many_equal_rows_are_decided_and_ctrl_c_is_asked_for_on_the_way(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_STEPS", 1000)
    n, asked = 200_000, []
    rows = np.full((n, 4), 7, dtype=np.uint32)
    for content in (np.full(n, 3, dtype=np.uint64), numbered(n)):
        asked.clear()
        found = find_duplicates(content, rows, 0.7, check=lambda: asked.append(1))
        assert (found.original[1:] == 0).all()
        assert len(asked) > n / 1000


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_what_check_raises_ends_the_search(calls):
    left = iter(range(1, calls))

    def check():
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_duplicates(numbered(100), random_signatures(100), 0.7, check=check)


@pytest.mark.parametrize(
    ("content", "rows", "threshold", "initial", "said"),
    [
        (numbered(2), random_signatures(3), 0.7, 0, "Give one for each row"),
        (np.arange(3), random_signatures(3), 0.7, 0, "got int64"),
        (numbered(3), random_signatures(3).astype(np.int64), 0.7, 0, "got int64 of shape"),
        (numbered(3), np.zeros((3, 0), np.uint32), 0.7, 0, "shape (3, 0)"),
        (numbered(3), np.zeros(3, np.uint32), 0.7, 0, "shape (3,)"),
        (numbered(3), random_signatures(3), 0.0, 0, "threshold is 0.0"),
        (numbered(3), random_signatures(3), 1.5, 0, "threshold is 1.5"),
        (numbered(3), random_signatures(3), 0.7, 4, "initial is 4"),
        (numbered(3), random_signatures(3), 0.7, -1, "initial is -1"),
    ],
)
def test_what_does_not_fit_is_refused(content, rows, threshold, initial, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        find_duplicates(content, rows, threshold, initial=initial)


@pytest.mark.parametrize(
    "table",
    [{"threshold": 0}, {"threshold": 1.1}, {"shingle": 0}, {"permutations": 0}, {"seed": 1}],
)
def test_options_out_of_range_are_refused(table):
    with pytest.raises(ValidationError):
        NearDuplicates(**table)
