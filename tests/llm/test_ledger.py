"""Replies are on disk before they are used, and are not asked for twice."""

import asyncio
import os
import sqlite3
import subprocess
import sys

import pytest

from wavecoder.errors import ArtifactError, ModelError, RefusedRequestError
from wavecoder.llm import Budget, Ledger, Prices, Remembering, ScriptedModel
from wavecoder.llm.ledger import plain_text
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
    return store(ledger, asked, reply(answer))


def store(ledger: Ledger, asked: ChatRequest, answer: ChatReply) -> ChatReply:
    key = Ledger.key("m", asked)
    return asyncio.run(ledger.store(key, "m", asked.attempt, plain_text(asked), answer))


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
    assert Ledger.key("m", request("a")) == "e975d658a8e40421c0b7055d9ead8451"


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
import asyncio, sys
from pathlib import Path
from wavecoder.llm import Ledger
from wavecoder.llm.ledger import plain_text
from wavecoder.records import ChatReply, ChatRequest, Message
with Ledger(Path(sys.argv[1])) as ledger:
    for n in range(1_000_000):
        asked = ChatRequest(messages=(Message(role="user", content=str(n)),))
        reply = ChatReply(text=str(n), finish_reason="stop", prompt_tokens=1,
                          completion_tokens=1, seconds=0.0)
        key = Ledger.key("m", asked)
        asyncio.run(ledger.store(key, "m", 0, plain_text(asked), reply))
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


def stored(ledger: Ledger, text: str, answer: str, tokens: int | None = 4):
    """Begin to store a reply together with others."""
    asked = request(text)
    one = reply(answer).model_copy(update={"completion_tokens": tokens})
    return ledger.store(Ledger.key("m", asked), "m", asked.attempt, plain_text(asked), one)


def commits(ledger: Ledger) -> list[str]:
    """Return a list that fills with the statements of the ledger."""
    said: list[str] = []
    ledger._db.set_trace_callback(said.append)
    return said


def test_replies_that_come_together_are_stored_in_one_transaction(tmp_path):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            said = commits(ledger)
            replies = await asyncio.gather(*(stored(ledger, f"{n}", f"to {n}") for n in range(50)))
            assert [one.text for one in replies] == [f"to {n}" for n in range(50)]
            assert said.count("COMMIT") == 1
            assert ledger.count() == 50

    asyncio.run(main())


def test_of_equal_requests_that_are_stored_together_all_get_the_first_reply(tmp_path):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            await stored(ledger, "old", "of before")
            names = [("a", "1"), ("b", "2"), ("a", "3"), ("old", "4")]
            replies = await asyncio.gather(*(stored(ledger, *pair) for pair in names))
            assert [one.text for one in replies] == ["1", "2", "1", "of before"]

    asyncio.run(main())


def test_a_lone_surrogate_is_stored_as_a_question_mark(tmp_path):
    with Ledger(tmp_path / "replies.sqlite") as ledger:
        one = put(ledger, "a", "sur\ud800rogate, ünïcode and \x00")
        assert one.text == "sur?rogate, ünïcode and \x00"
        assert ledger.get(Ledger.key("m", request("a"))) == one


def test_close_stores_what_waits(tmp_path):
    async def main() -> None:
        ledger = Ledger(tmp_path / "replies.sqlite")
        waiting = [asyncio.create_task(stored(ledger, f"{n}", "x")) for n in range(3)]
        await asyncio.sleep(0)
        ledger.close()
        ledger.close()
        assert [(await one).text for one in waiting] == ["x"] * 3

    asyncio.run(main())
    with Ledger(tmp_path / "replies.sqlite") as ledger:
        assert ledger.count() == 3


def test_who_is_cancelled_while_it_is_stored_has_it_stored(tmp_path):
    async def main(ledger: Ledger) -> None:
        task = asyncio.create_task(stored(ledger, "a", "x"))
        other = asyncio.create_task(stored(ledger, "b", "y"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert ledger.get(Ledger.key("m", request("a"))) is not None
        assert (await other).text == "y"

    async def next_loop(ledger: Ledger) -> None:
        assert (await stored(ledger, "c", "z")).text == "z"

    with Ledger(tmp_path / "replies.sqlite") as ledger:
        asyncio.run(main(ledger))
        asyncio.run(next_loop(ledger))
        assert ledger.count() == 3


def test_a_reply_that_cannot_be_written_reaches_nobody(tmp_path):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            await stored(ledger, "before", "x")
            (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
            ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")
            long = "x" * 20_000
            waiting = [stored(ledger, f"{n}", long) for n in range(5)]
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(end, ArtifactError) for end in ends)
            assert "full. No reply stored is lost: make room on the disk" in str(ends[0])
            assert ledger.count() == 1
            model = Remembering(Slow(), ledger)
            both = [model.complete(request(long)) for _ in range(2)]
            ends = await asyncio.gather(*both, return_exceptions=True)
            assert all(isinstance(end, ArtifactError) for end in ends)
            assert (model.asked, model.in_flight) == (1, 0)
            # With room again, it goes on.
            ledger._db.execute("PRAGMA max_page_count = 100000")
            assert (await stored(ledger, "after", long)).text == long
            assert ledger.count() == 2

    asyncio.run(main())


def test_a_defect_while_storing_reaches_all_who_wait(tmp_path):
    async def main() -> None:
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            waiting = [stored(ledger, "a", "x", tokens=1 << 70), stored(ledger, "b", "y")]
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(end) for end in ends] == [OverflowError, OverflowError]
            assert ledger.count() == 0
            assert (await stored(ledger, "b", "y")).text == "y"

    asyncio.run(main())


def test_two_processes_write_one_ledger(tmp_path):
    script = """
import asyncio, sys
from pathlib import Path
from wavecoder.llm import Ledger, Remembering, ScriptedModel
from wavecoder.records import ChatRequest, Message
async def main():
    with Ledger(Path(sys.argv[1])) as ledger:
        model = Remembering(ScriptedModel.from_function("m", lambda text: sys.argv[2]), ledger)
        asked = [ChatRequest(messages=(Message(role="user", content=str(n)),)) for n in range(300)]
        for start in range(0, 300, 20):
            replies = await asyncio.gather(*map(model.complete, asked[start:start + 20]))
            print("".join(one.text for one in replies), end="")
asyncio.run(main())
"""
    path = tmp_path / "replies.sqlite"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), name], stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    outs = [process.communicate()[0] for process in processes]
    # Whoever was first with a reply: both used the one that is on disk.
    with Ledger(path) as ledger:
        kept = [ledger.get(Ledger.key("m", request(f"{n}"))) for n in range(300)]
    assert outs == ["".join(one.text for one in kept if one)] * 2
    assert len(outs[0]) == 300


def test_what_a_killed_process_used_is_there(tmp_path):
    script = """
import asyncio, sys
from pathlib import Path
from wavecoder.llm import Ledger, Remembering, ScriptedModel
from wavecoder.records import ChatRequest, Message
def text_of(asked):
    return asked.messages[0].content
async def main():
    with Ledger(Path(sys.argv[1])) as ledger:
        model = Remembering(ScriptedModel.from_function("m", text_of), ledger)
        async def one(n):
            asked = ChatRequest(messages=(Message(role="user", content=str(n)),))
            print((await model.complete(asked)).text, flush=True)
        for start in range(0, 1_000_000, 20):
            await asyncio.gather(*map(one, range(start, start + 20)))
asyncio.run(main())
"""
    path = tmp_path / "replies.sqlite"
    for killed_after in (1, 33, 900):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            told = [child.stdout.readline() for _ in range(killed_after)]
            child.kill()
            told += [line for line in child.stdout if line.endswith("\n")]
        assert len(told) >= killed_after and all(told)
        with Ledger(path) as ledger:
            for line in told:
                assert ledger.get(Ledger.key("m", request(line.strip()))) is not None


def test_what_was_used_is_counted_at_its_most_where_nobody_said(tmp_path):
    with Ledger(tmp_path / "replies.sqlite") as ledger:
        put(ledger, "a", "x")
        assert ledger.usage() == {"m": (3, 4)}
        asked = request("y" * 1_000, max_tokens=77)
        silent = reply("z").model_copy(update={"prompt_tokens": None, "completion_tokens": None})
        store(ledger, asked, silent)
        prompt, completion = ledger.usage()["m"]
        assert 1_003 <= prompt < 1_500 and completion == 81


def test_the_budget_counts_replies_and_not_failures(tmp_path):
    async def main() -> None:
        budget = Budget(prices=Prices.load(), max_tokens=100_000)
        with Ledger(tmp_path / "replies.sqlite") as ledger:
            slow = Slow()
            model = Remembering(slow, ledger, budget)
            for _ in range(2):
                await model.complete(request("a"))
            assert budget.spent.tokens == 7  # once: the second one was remembered
            slow.error = ModelError("gone")
            with pytest.raises(ModelError):
                await model.complete(request("b"))
            slow.error = None
            task = asyncio.create_task(model.complete(request("c")))
            while not model.in_flight:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert (budget.spent.tokens, model.in_flight) == (7, 0)
            # Nothing is held back by what failed: all but the spent may be asked for.
            most = 100_000 - 7 - 64 - 1
            await model.complete(request("d", max_tokens=most))
            assert budget.spent.tokens == 14

    asyncio.run(main())


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


@pytest.mark.parametrize(
    ("version", "words"), [(99, "a newer wavecoder.*Upgrade"), (1, "an older wavecoder.*Downgrade")]
)
def test_a_ledger_of_another_version_is_refused_and_left_alone(tmp_path, version, words):
    path = tmp_path / "replies.sqlite"
    with Ledger(path) as ledger:
        put(ledger, "question", "answer")
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=words):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 98:0 / {tmp_path}/net rw - nfs4 server:/x rw\n")
    monkeypatch.setattr("wavecoder.machine._MOUNTS", mounts)
    with pytest.raises(ArtifactError, match="would be on nfs4, a network file system"):
        Ledger(tmp_path / "net" / "run" / "replies.sqlite")
    Ledger(tmp_path / "disk" / "replies.sqlite").close()


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
import asyncio, resource, signal, sys
from pathlib import Path
from wavecoder.errors import ArtifactError
from wavecoder.llm import Ledger
from wavecoder.llm.ledger import plain_text
from wavecoder.records import ChatReply, ChatRequest, Message
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Ledger(Path(sys.argv[1])) as ledger:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    for n in range(10_000):
        asked = ChatRequest(messages=(Message(role="user", content=str(n)),))
        reply = ChatReply(text="x" * 5_000, finish_reason="stop", prompt_tokens=1,
                          completion_tokens=1, seconds=0.0)
        try:
            key = Ledger.key("m", asked)
            asyncio.run(ledger.store(key, "m", 0, plain_text(asked), reply))
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
