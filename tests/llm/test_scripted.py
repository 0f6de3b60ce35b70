"""Canned replies, from a file and from a function."""

import asyncio
import time

import pytest

from wavecoder.errors import ConfigError, ModelNotFoundError, RefusedRequestError
from wavecoder.llm import ScriptedModel, open_model
from wavecoder.records import ChatReply, ChatRequest, FinishReason, Message, Sampling

SCRIPT = """
- match: '^hello'
  reply: good day to you
- match: 'be brief'
  anywhere: true
  reply: ok
  finish_reason: length
- match: 'choose'
  replies: [a, b, c]
- match: 'slowly'
  reply: at last
  delay: 0.05
"""


def ask(spec: str, *messages: tuple[str, str], seed: int = 0) -> ChatReply:
    request = ChatRequest(
        messages=tuple(Message(role=role, content=content) for role, content in messages),
        sampling=Sampling(seed=seed),
    )
    return asyncio.run(open_model(spec).complete(request))


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "script.yaml").write_text(SCRIPT)
    return f"scripted:{tmp_path}/script.yaml"


def test_the_first_line_that_matches_the_last_user_message_answers(spec):
    reply = ask(spec, ("user", "hello be brief"))
    assert reply.text == "good day to you"
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 4)
    assert reply.finish_reason is FinishReason.STOP
    with pytest.raises(RefusedRequestError, match="No line of the script"):
        ask(spec, ("user", "hello"), ("assistant", "yes?"), ("user", "other"))


def test_anywhere_looks_at_all_messages(spec):
    reply = ask(spec, ("system", "be brief"), ("user", "what?"))
    assert reply.text == "ok" and reply.finish_reason is FinishReason.LENGTH


def test_the_seed_chooses_among_replies(spec):
    texts = [ask(spec, ("user", "choose"), seed=seed).text for seed in range(6)]
    assert texts == ["a", "b", "c", "a", "b", "c"]


def test_a_delay_is_waited_for_and_told(spec):
    started = time.monotonic()
    assert ask(spec, ("user", "slowly")).seconds == 0.05
    assert time.monotonic() - started >= 0.05


def test_the_identity_is_what_decides_the_replies(tmp_path):
    def identity(text: str) -> str:
        (tmp_path / "script.yaml").write_text(text)
        return open_model(f"scripted:{tmp_path}/script.yaml").identity

    assert identity(SCRIPT) == identity("# a remark\n" + SCRIPT.replace("0.05", "0.07"))
    assert identity(SCRIPT) != identity(SCRIPT.replace("good day", "good night"))
    assert identity(SCRIPT) != identity(SCRIPT.replace("^hello", "hello"))


def test_a_function_can_answer():
    model = ScriptedModel.from_function("echo", lambda request: request.messages[-1].content)
    request = ChatRequest(messages=(Message(role="user", content="two words"),))
    reply = asyncio.run(model.complete(request))
    assert (model.identity, reply.text, reply.completion_tokens) == ("echo", "two words", 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no list of lines"),
        ("match: a", "no list of lines"),
        ("- match: a\n- match: [", "is not YAML"),
        ("- match: '('\n  reply: a", "no regular expression"),
        ("- match: a", "either reply or replies"),
        ("- match: a\n  reply: a\n  replies: [b]", "either reply or replies"),
        ("- match: a\n  replay: a", "Did you mean 'reply'"),
        ("- match: a\n  reply: a\n  finish_reason: halt", "finish_reason"),
        ("- just text", "a table should be there"),
    ],
)
def test_a_script_that_is_wrong_is_said_where(tmp_path, text, words):
    (tmp_path / "script.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        open_model(f"scripted:{tmp_path}/script.yaml")


def test_a_script_that_is_not_there_or_not_text_is_said(tmp_path):
    with pytest.raises(ModelNotFoundError, match="No such file"):
        open_model(f"scripted:{tmp_path}/none.yaml")
    (tmp_path / "script.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        open_model(f"scripted:{tmp_path}/script.yaml")
