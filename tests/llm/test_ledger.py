"""Replies are on disk before they are used, and are not asked for twice."""

import asyncio
import os
import sqlite3
import subprocess
import sys

import pytest

from wavecoder.errors import ArtifactError, ModelError, RefusedRequestError
from wavecoder.llm import Ledger, Remembering, ScriptedModel
from wavecoder.records import ChatReply, ChatRequest, FinishReason, Message, Sampling


def request(text: str, **sampling: float) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", content=text),),
        sampling=Sampling.model_validate(sampling),
    )


def reply(text: str) -> ChatReply:
    return ChatReply(
        text=text,
        finish_reason=FinishReason.LENGTH,
        prompt_tokens=3,
        completion_tokens=4,
        seconds=0.1 + 0.2,
    )


def put(ledger: Ledger, text: str, answer: str) -> ChatReply:
    asked = request(text)
    key = Ledger.key("m", asked)
    return ledger.put(key, reply(answer), model_identity="m", request=asked)


def test_a_reply_comes_back_as_it_was_put(tmp_path):
    with Ledger(tmp_path / "new" / "replies.sqlite") as ledger:
        put(ledger, "question", "ünïcode \x00 and 😀")
    with Ledger(tmp_path / "new" / "replies.sqlite") as ledger:
        assert ledger.get(Ledger.key("m", request("question"))) == reply("ünïcode \x00 and 😀")
        assert ledger.get(Ledger.key("m", request("other"))) is None
        assert ledger.count() == 1


def test_everything_that_decides_a_reply_is_in_its_key():
    keys = {
        Ledger.key("m", request("a")),
        Ledger.key("n", request("a")),
        Ledger.key("m", request("b")),
        Ledger.key("m", request("a", temperature=0.5)),
        Ledger.key("m", request("a", seed=1)),
        Ledger.key("m", ChatRequest(messages=(Message(role="system", content="a"),))),
    }
    assert len(keys) == 6


def test_a_key_never_changes_or_every_paid_reply_would_be_paid_again():
    assert Ledger.key("m", request("a")) == "e549151b7e542c6777f300a7ee9c36fd"


def test_the_first_reply_stays(tmp_path):
    with Ledger(tmp_path / "replies.sqlite") as ledger:
        assert put(ledger, "question", "first").text == "first"
        assert put(ledger, "question", "second").text == "first"


def test_a_lone_surrogate_becomes_a_question_mark_before_it_is_used(tmp_path):
    with Ledger(tmp_path / "replies.sqlite") as ledger:
        assert put(ledger, "question", "a\ud800b").text == "a?b"
        assert put(ledger, "sur\ud800rogate", "c").text == "c"


def test_no_reply_is_lost_when_the_process_is_killed(tmp_path):
    script = """
import sys
from pathlib import Path
from wavecoder.llm import Ledger
from wavecoder.records import ChatReply, ChatRequest, Message
with Ledger(Path(sys.argv[1])) as ledger:
    for n in range(1_000_000):
        asked = ChatRequest(messages=(Message(role="user", content=str(n)),))
        reply = ChatReply(text=str(n), finish_reason="stop", prompt_tokens=1,
                          completion_tokens=1, seconds=0.0)
        ledger.put(Ledger.key("m", asked), reply, model_identity="m", request=asked)
        print(n, flush=True)
"""
    path = tmp_path / "replies.sqlite"
    for killed_after in (1, 40, 2_500):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(killed_after):
                last = child.stdout.readline()
            child.kill()
            told = [last, *(line for line in child.stdout if line.endswith("\n"))]
        with Ledger(path) as ledger:
            for n in range(int(told[-1]) + 1):
                stored = ledger.get(Ledger.key("m", request(str(n))))
                assert stored is not None and stored.text == str(n)


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "replies.sqlite"
    path.write_bytes(b"my precious notes " * 100)
    with pytest.raises(ArtifactError, match=r"not a database.*name another file"):
        Ledger(path)
    assert path.read_bytes() == b"my precious notes " * 100


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "replies.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="another program"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_ledger_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "replies.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ArtifactError, match="newer wavecoder"):
        Ledger(path)


def test_a_folder_in_its_place_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="unable to open"):
        Ledger(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="Cannot write"):
        Ledger(tmp_path / "file" / "replies.sqlite")


def test_a_full_disk_is_said_and_what_was_stored_is_there(tmp_path):
    # A limit on the size of files stands for the disk.
    script = """
import resource, signal, sys
from pathlib import Path
from wavecoder.errors import ArtifactError
from wavecoder.llm import Ledger
from wavecoder.records import ChatReply, ChatRequest, Message
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Ledger(Path(sys.argv[1])) as ledger:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    for n in range(10_000):
        asked = ChatRequest(messages=(Message(role="user", content=str(n)),))
        reply = ChatReply(text="x" * 5_000, finish_reason="stop", prompt_tokens=1,
                          completion_tokens=1, seconds=0.0)
        try:
            ledger.put(Ledger.key("m", asked), reply, model_identity="m", request=asked)
        except ArtifactError as error:
            print(n)
            sys.exit(str(error))
"""
    path = tmp_path / "replies.sqlite"
    arguments = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "Cannot use the ledger of replies" in done.stderr and "make room" in done.stderr
    assert int(done.stdout) > 10
    with Ledger(path) as ledger:
        assert ledger.count() == int(done.stdout)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_ledger_that_cannot_be_written_is_said(tmp_path):
    path = tmp_path / "replies.sqlite"
    Ledger(path).close()
    path.chmod(0o400)
    with pytest.raises(ArtifactError, match="can be written"):
        Ledger(path)


def test_a_remembered_reply_is_not_asked_for_again(tmp_path):
    asked = []

    def answer(question):
        asked.append(question)
        return f"reply {len(asked)}"

    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            model = Remembering(ScriptedModel.from_function("m", answer), ledger)
            first = await model.complete(request("a"))
            assert (await model.complete(request("a"))) == first
            await model.complete(request("b"))
            assert (model.identity, model.asked, model.remembered) == ("m", 2, 1)
            await model.close()
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            model = Remembering(ScriptedModel.from_function("m", answer), ledger)
            assert (await model.complete(request("a"))) == first
            other = Remembering(ScriptedModel.from_function("n", answer), ledger)
            assert (await other.complete(request("a"))).text == "reply 3"
            assert (model.asked, model.remembered) == (0, 1)

    asyncio.run(main())
    assert len(asked) == 3


class Slow:
    """A model that takes its time and may fail; the first `failures` requests do."""

    identity = "slow"
    concurrency = None

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    async def complete(self, asked: ChatRequest) -> ChatReply:
        self.calls += 1
        await asyncio.sleep(0.02)
        if self.error is not None:
            raise self.error
        return reply(asked.messages[0].content)

    async def close(self) -> None:
        pass


def test_equal_requests_in_flight_are_sent_once(tmp_path):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            slow = Slow()
            model = Remembering(slow, ledger)
            texts = ["a", "b"] * 20
            replies = await asyncio.gather(*(model.complete(request(text)) for text in texts))
            assert [found.text for found in replies] == texts
            assert slow.calls == model.asked == 2 and model.remembered == 38

    asyncio.run(main())


@pytest.mark.parametrize("error", [RefusedRequestError("too long"), ModelError("gone")])
def test_all_who_wait_for_a_request_that_fails_are_told(tmp_path, error):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            slow = Slow(error)
            model = Remembering(slow, ledger)
            waiting = [model.complete(request("a")) for _ in range(5)]
            assert await asyncio.gather(*waiting, return_exceptions=True) == [error] * 5
            assert slow.calls == 1 and ledger.count() == 0
            slow.error = None
            assert (await model.complete(request("a"))).text == "a"

    asyncio.run(main())


def test_when_the_one_who_asked_is_cancelled_another_who_waits_asks(tmp_path):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            slow = Slow()
            model = Remembering(slow, ledger)
            first, *others = [asyncio.create_task(model.complete(request("a"))) for _ in range(4)]
            await asyncio.sleep(0.005)
            first.cancel()
            assert [(await other).text for other in others] == ["a"] * 3
            assert first.cancelled() and slow.calls == 2

    asyncio.run(main())
