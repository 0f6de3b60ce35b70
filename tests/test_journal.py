"""The journal: lines torn, superseded, odd and old."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavecoder.artifact import Tokens
from wavecoder.errors import ArtifactError
from wavecoder.journal import Head, Journal
from wavecoder.records import Figure, Record, Rejected


def figure(name: str, text: str = "n") -> Figure:
    return Figure(id=name, stage="s", name=text, value=1.0)


def write(journal: Journal, outcomes: Iterator[tuple[int, Record]]) -> None:
    with journal.open() as file:
        for place, outcome in outcomes:
            journal.append(
                file, outcome, place=place, seconds=0.5, usage={"m": Tokens(prompt=place)}
            )


def brief(heads: list[Head]) -> list[tuple[int, str, str | None]]:
    return [(head.place, head.id, head.reason) for head in heads]


def test_what_is_written_is_read_in_the_order_of_places(tmp_path: Path):
    journal = Journal(tmp_path)
    assert journal.heads() == [] and list(journal.lines([])) == []
    no = Rejected(id="b", reason="odd", detail="it is odd")
    write(journal, iter([(2, figure("c")), (0, figure("a")), (1, no)]))
    heads = journal.heads()
    assert brief(heads) == [(0, "a", None), (1, "b", "odd"), (2, "c", None)]
    assert [head.kept for head in heads] == [True, False, True]
    lines = [line for _, line in journal.lines(heads)]
    assert [Figure.model_validate(lines[at]["record"]).id for at in (0, 2)] == ["a", "c"]
    assert Rejected.model_validate(lines[1]["record"]) == no
    assert [line["usage"] for line in lines] == [{"m": Tokens(prompt=at)} for at in range(3)]
    assert {line["seconds"] for line in lines} == {0.5}


@pytest.mark.parametrize(
    "text",
    ['", "record": "', ', "record": {"id": "x"}}', 'a"b\\"c', "\n\r\u2028\x00", "\N{SNOWMAN}", ""],
)
def test_no_text_is_taken_for_the_end_of_a_head(tmp_path: Path, text: str):
    journal = Journal(tmp_path)
    rejected = Rejected(id=text + "r", reason=text, detail=text, reply=text)
    with journal.open() as file:
        for place, outcome in enumerate((figure(text, text), rejected)):
            journal.append(file, outcome, place=place, seconds=0, usage={text: Tokens(prompt=1)})
    heads = journal.heads()
    assert brief(heads) == [(0, text, None), (1, text + "r", text)]
    (_, one), (_, two) = journal.lines(heads)
    assert Figure.model_validate(one["record"]) == figure(text, text)
    assert Rejected.model_validate(two["record"]) == rejected
    assert one["usage"] == {text: Tokens(prompt=1)}


def test_the_last_line_of_a_place_counts(tmp_path: Path):
    journal = Journal(tmp_path)
    failed = Rejected(id="a", reason="model_failed", detail="no reply")
    write(journal, iter([(0, failed), (1, figure("b")), (0, failed), (0, figure("a", "late"))]))
    heads = journal.heads()
    assert brief(heads) == [(0, "a", None), (1, "b", None)]
    assert [line["record"]["name"] for _, line in journal.lines(heads)] == ["late", "n"]


def test_a_line_torn_at_any_byte_is_cut_off_and_nothing_else(tmp_path: Path):
    journal = Journal(tmp_path)
    write(journal, iter([(0, figure("a")), (1, figure("b"))]))
    whole = journal.path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(len(whole)):
        journal.path.write_bytes(whole[:length])
        found = [(0, "a", None)] if length >= first else []
        assert brief(journal.heads()) == found  # as who only looks sees it
        journal.mend(keep=True)
        assert journal.path.read_bytes() == (whole[:first] if found else b"")
    journal.path.write_bytes(whole + b"\0" * 100)  # what a lost machine leaves of a longer file
    journal.mend(keep=True)
    assert journal.path.read_bytes() == whole
    journal.mend(keep=False)
    assert not journal.path.exists()
    journal.mend(keep=True)


@pytest.mark.parametrize(
    "line",
    [
        # Of before there were places, usage by model and superseded lines.
        {"kept": True, "seconds": 1.0, "tokens": {"prompt": 1}, "record": {"id": "a"}},
        {"place": 0, "kept": True, "reason": None, "record": {"id": "a"}},
        {"kept": True},
        [1, 2],
    ],
)
def test_a_journal_of_another_format_is_one_sentence(tmp_path: Path, line: object):
    journal = Journal(tmp_path)
    write(journal, iter([(0, figure("a"))]))
    with journal.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ArtifactError, match="an older wavecoder wrote") as caught:
        journal.heads()
    assert "--on-existing replace" in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_line_is_one_sentence(tmp_path: Path):
    journal = Journal(tmp_path)
    write(journal, iter([(0, figure("a")), (1, figure("b"))]))
    heads = journal.heads()
    data = bytearray(journal.path.read_bytes())
    data[-10:-1] = b"\0" * 9
    journal.path.write_bytes(data)
    with pytest.raises(ArtifactError, match="holds a line that is damaged"):
        list(journal.lines(heads))
    data[:9] = b"\xff" * 9
    journal.path.write_bytes(data)
    with pytest.raises(ArtifactError, match="holds a line that is damaged"):
        journal.heads()
