import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavecoder.errors import ConfigError, MissingExtraError
from wavecoder.records import Instance, Message, RawCode, Rejected
from wavecoder.train.config import Mix
from wavecoder.train.conversations import Conversation, from_instance, read_mix

ALPACA = {"instruction": "Sort it.", "input": "[2, 1]", "output": "sorted(it)"}
EVOL = {"instruction": "Sort it.", "response": "sorted(it)"}
MESSAGES = {
    "messages": [
        {"role": "system", "content": "You sort."},
        {"role": "user", "content": "Sort it."},
        {"role": "assistant", "content": "sorted(it)"},
    ]
}
SHARED = {
    "conversations": [
        {"from": "human", "value": "Sort it."},
        {"from": "gpt", "value": "sorted(it)"},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "You said so."},
    ]
}


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[Conversation | Rejected]:
    return list(read_mix(Mix(path=path)))


def said(one: Conversation | Rejected) -> list[tuple[str, str]]:
    assert isinstance(one, Conversation), one
    return [(turn.role, turn.content) for turn in one.messages]


QUESTION, ANSWER = ("user", "Sort it."), ("assistant", "sorted(it)")


def test_an_instance_is_a_question_and_its_answer() -> None:
    raw = RawCode(
        id="r",
        language="python",
        name="f",
        code="def f(): ...",
        docstring=None,
        source="s",
        path="a.py",
        start_line=1,
        end_line=1,
        content_hash="h",
    )
    instance = Instance(
        id="i",
        task="repair",
        language="python",
        target_language=None,
        instruction="Sort it.",
        information="it",
        solution="sorted(it)",
        raw_code=raw,
        bug=None,
        reply="",
        verdict=None,
        generator="g",
        discriminator=None,
        round=0,
        attempt=0,
        example_ids=(),
    )
    assert from_instance(instance, "regenerate") == Conversation(
        id="i",
        source="regenerate",
        task="repair",
        group="h",
        messages=(
            Message(role="user", content="Sort it."),
            Message(role="assistant", content="sorted(it)"),
        ),
        information="it",
    )
    alone = instance.model_copy(update={"information": ""})
    assert from_instance(alone, "generate").information is None


def test_every_kind_of_row(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "all.jsonl", ALPACA, EVOL, MESSAGES, SHARED, {**EVOL, "input": " "})
    alpaca, evol, messages, shared, spaces = read(path)
    assert isinstance(alpaca, Conversation)
    assert (alpaca.id, alpaca.source) == ("all.jsonl:1", str(path))
    assert (alpaca.task, alpaca.information) == ("other", "[2, 1]")
    assert said(alpaca) == said(evol) == [QUESTION, ANSWER]
    assert said(messages) == [("system", "You sort."), QUESTION, ANSWER]
    assert said(shared) == [QUESTION, ANSWER, ("user", "Why?"), ("assistant", "You said so.")]
    for one in (evol, spaces):
        assert isinstance(one, Conversation)
        assert one.information is None


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz", "a.JSON"])
@pytest.mark.parametrize("form", ["list", "indented", "lines"])
def test_json_in_its_forms(tmp_path: Path, name: str, form: str) -> None:
    rows = [ALPACA, EVOL]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    if form != "lines":
        text = " \n" + json.dumps(rows, indent=2 if form == "indented" else None)
    data = b"\xef\xbb\xbf" + text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = read(path)
    # Of lines, the number is the line's: between these two there is a blank one.
    assert [one.id for one in found] == [f"{name}:1", f"{name}:{3 if form == 'lines' else 2}"]
    assert [said(one) for one in found] == [[QUESTION, ANSWER]] * 2


def test_a_list_is_read_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    # Items that end where a piece of the file ends, within a character, and longer than a piece.
    rows = [{**EVOL, "response": "é" * size} for size in (2**20 - 60, 2**20, 3 * 2**20, 1, 7)]
    path.write_text(json.dumps([*rows, 12345], ensure_ascii=False))
    found = read(path)
    assert [said(one)[1][1] for one in found[:5]] == [row["response"] for row in rows]
    assert isinstance(found[5], Rejected)
    assert found[5].detail == "The row is a JSON int, an object is wanted."

    path.write_text(json.dumps(rows)[:-40])
    rest: Iterator[Any] = read_mix(Mix(path=path))
    assert isinstance(next(rest), Conversation)  # what stands before the damage is read
    with pytest.raises(ConfigError, match=r"a\.json is a JSON list that cannot be read at row 5: "):
        list(rest)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{**EVOL, "messages": None, "id": 1}, {**MESSAGES, "id": 2}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    one, other = read(path)
    assert said(one) == [QUESTION, ANSWER]
    assert said(other) == [("system", "You sort."), QUESTION, ANSWER]


def test_a_dataset_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "owner"
    folder.mkdir()
    jsonl(folder / "train.jsonl", EVOL, {**EVOL, "response": ""})
    found = list(read_mix(Mix(hub=str(folder))))
    assert said(found[0]) == [QUESTION, ANSWER]
    assert found[0].id == f"{folder}:1"
    assert isinstance(found[1], Rejected)
    with pytest.raises(ConfigError, match=r"owner does not load: .*Check its name, its split"):
        list(read_mix(Mix(hub=str(folder), split="nowhere")))
    jsonl(folder / "train.jsonl", {"text": "a"})
    with pytest.raises(ConfigError, match="it has the columns text"):
        list(read_mix(Mix(hub=str(folder))))


def test_the_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"wavecoder\[hub\]"):
        list(read_mix(Mix(hub="owner/name")))


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ([1], "not_a_row", "The row is a JSON list, an object is wanted."),
        ("a", "not_a_row", "The row is a JSON str, an object is wanted."),
        ({}, "missing_field", "The row has no instruction; it has nothing."),
        ({"output": "a"}, "missing_field", "The row has no instruction; it has output."),
        (
            {"instruction": "a", "text": "b"},
            "missing_field",
            "The row has no output (or response); it has instruction, text.",
        ),
        (
            {"instruction": "a", "output": None},
            "missing_field",
            "Its output is null, text is wanted.",
        ),
        ({**ALPACA, "instruction": " "}, "missing_field", "The user asks nothing in turn 0."),
        ({**ALPACA, "input": 7}, "missing_field", "Its input is a int, text is wanted."),
        (
            {**ALPACA, "output": ["a"]},
            "missing_field",
            "Its assistant of turn 1 is a list, text is wanted.",
        ),
        ({**ALPACA, "output": "\n"}, "empty_response", "The assistant says nothing in turn 1."),
        (
            {**ALPACA, "output": "\ud800"},
            "not_a_row",
            "Its assistant of turn 1 has half a character, which is no text.",
        ),
        (
            {"messages": "a"},
            "missing_field",
            "Its turns are not a list of objects, each with role and content.",
        ),
        (
            {"messages": [{"from": "human", "value": "a"}]},
            "missing_field",
            "Its turns are not a list of objects, each with role and content.",
        ),
        (
            {"messages": []},
            "turn_order",
            "Its turns are none; user and assistant in turn are wanted, the assistant last.",
        ),
        (
            {"messages": MESSAGES["messages"][:2]},
            "turn_order",
            "Its turns are system, user; user and assistant in turn are wanted, the assistant "
            "last.",
        ),
        (
            {"messages": [{"role": "tool", "content": "a"}] * 9},
            "turn_order",
            "Its turns are tool, tool, tool, tool, tool, tool, tool, tool, …; user and assistant "
            "in turn are wanted, the assistant last.",
        ),
        (
            {"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]},
            "turn_order",
            "Its turns are assistant, user; user and assistant in turn are wanted, the assistant "
            "last.",
        ),
    ],
)
def test_a_row_that_cannot_be_learned_from(
    tmp_path: Path, row: Any, reason: str, detail: str
) -> None:
    _, refused = read(jsonl(tmp_path / "a.jsonl", EVOL, row))
    assert refused == Rejected(id="a.jsonl:2", reason=reason, detail=detail)


def test_a_damaged_line_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(EVOL).encode()
    path.write_bytes(b"\n".join([b'{"instruction": ', b"\xff", b"[" * 100_000, good]))
    *damaged, whole = read(path)
    assert [(one.id, getattr(one, "reason", None)) for one in damaged] == [
        (f"a.jsonl:{row}", "not_a_row") for row in range(1, 4)
    ]
    assert said(whole) == [QUESTION, ANSWER]


def test_a_file_of_another_form_is_an_error(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "a", "code": "b"}, {"text": "c"})
    with pytest.raises(
        ConfigError, match=r"No row of .*a\.jsonl can.*no instruction; it has code, text\."
    ):
        read(path)
    numbers = jsonl(tmp_path / "b.jsonl", 1, 2)
    with pytest.raises(ConfigError, match="The row is a JSON int, an object is wanted"):
        read(numbers)
    table = tmp_path / "a.parquet"
    pq.write_table(pa.table({"instruction": ["a"]}), table)
    with pytest.raises(ConfigError, match="it has the columns instruction"):
        read(table)
    # The form is right and the rows are bad: each says so itself.
    bad = jsonl(tmp_path / "c.jsonl", {**EVOL, "response": ""})
    assert [type(one) for one in read(bad)] == [Rejected]


def test_the_first_row_says_what_is_wrong_with_all(tmp_path: Path) -> None:
    nulls = jsonl(tmp_path / "a.jsonl", {"instruction": "a", "output": None}, {"text": "b"})
    with pytest.raises(ConfigError, match=r"the first: Its output is null, text is wanted\. Give"):
        read(nulls)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_one_object_with_the_rows_in_it_is_said(tmp_path: Path, name: str, indent: Any) -> None:
    path = tmp_path / name
    text = json.dumps({"data": [EVOL], "version": 1}, indent=indent).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(ConfigError, match=r"is one JSON object, of data, version\. Give its"):
        read(path)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [EVOL, {**EVOL, "response": "déjà"}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(lines, "latin-1")
    whole, other = read(path)
    assert said(whole) == [QUESTION, ANSWER]
    assert isinstance(other, Rejected)
    assert other.detail == "The row is not read: it is not in UTF-8; save the file in that."
    path.write_text(json.dumps(rows, ensure_ascii=False), "latin-1")
    with pytest.raises(ConfigError, match="at row 1: it is not in UTF-8; save the file in that"):
        read(path)
    for encoding in ("utf-16-le", "utf-16-be"):
        path.write_text("\ufeff" + lines, encoding)
        with pytest.raises(ConfigError, match="is in UTF-16, and JSON is wanted in UTF-8"):
            read(path)


def test_rows_that_ask_the_same_are_one_group(tmp_path: Path) -> None:
    system = {"role": "system", "content": "You sort badly."}
    rows = [
        *(EVOL, {**EVOL, "response": "another"}, {**EVOL, "input": "it"}, MESSAGES),
        {"messages": [system, *MESSAGES["messages"][1:]]},
    ]
    groups = []
    for one in read(jsonl(tmp_path / "a.jsonl", *rows, EVOL)):
        assert isinstance(one, Conversation)
        groups.append(one.group)
    assert groups[0] == groups[1] == groups[-1]
    assert len(set(groups)) == 4


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name, data, why in (
        ("none.json", None, "none.json cannot be read: No such file or directory. Mend its path"),
        ("empty.jsonl", b"", "has no rows"),
        ("empty.json", b"[]", "has no rows"),
        ("a.csv", b"a,b", "in no form that is known by its name"),
        ("a.parquet", b"no", "a.parquet cannot be read"),
        ("a.json.gz", b"no", "a.json.gz cannot be read: Not a gzipped file"),
        ("b.jsonl.gz", gzip.compress(json.dumps(EVOL).encode())[:-9], "b.jsonl.gz cannot be read"),
        ("b.json", b'[{"a": 1}, \xff]', "b.json is a JSON list that cannot be read at row"),
    ):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ConfigError, match=why.replace(".", r"\.")):
            read(path)
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        (tmp_path / "d.json").mkdir()
        read(tmp_path / "d.json")
