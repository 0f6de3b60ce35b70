"""A real, small model in this process: repeatable, quiet, and easy to stop."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from wavecoder.errors import ConfigError, ModelError, ModelNotFoundError, RefusedRequestError
from wavecoder.llm import LocalModel, catalogue, open_model
from wavecoder.records import ChatReply, ChatRequest, FinishReason, Message, Sampling

NAME = "smollm2-135m-instruct"
SPEC = f"local:{NAME}"


def request(text: str, **sampling: float) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", content=text),),
        sampling=Sampling.model_validate({"max_tokens": 6} | sampling),
    )


def python(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def weights() -> Path:
    return catalogue.locate(NAME)


ASK_IN_ORDER = """
import asyncio, sys
from wavecoder.llm import open_model
from wavecoder.records import ChatRequest, Message, Sampling
async def main():
    model = open_model(sys.argv[1])
    try:
        for n in sys.argv[2:]:
            request = ChatRequest(
                messages=(Message(role="user", content=f"Write {n} words about the sea."),),
                sampling=Sampling(temperature=0.8, top_p=0.9, seed=int(n), max_tokens=8),
            )
            print(n, repr((await model.complete(request)).text))
    finally:
        await model.close()
asyncio.run(main())
"""


def test_replies_do_not_depend_on_order_and_stderr_stays_empty():
    first = python(ASK_IN_ORDER, SPEC, "1", "2", "3", "1")
    second = python(ASK_IN_ORDER, SPEC, "3", "1", "1", "2")
    assert (first.returncode, first.stderr) == (second.returncode, second.stderr) == (0, "")
    assert sorted(first.stdout.splitlines()) == sorted(second.stdout.splitlines())
    assert len(set(first.stdout.splitlines())) == 3


def test_a_reply_has_its_tokens_and_its_end():
    async def main() -> tuple[ChatReply, ChatReply]:
        model = LocalModel(SPEC)
        try:
            cut = await model.complete(request("Tell me a long story.", max_tokens=7))
            whole = await model.complete(request("Say yes.", max_tokens=100))
            return cut, whole
        finally:
            await model.close()

    cut, whole = asyncio.run(main())
    assert cut.finish_reason is FinishReason.LENGTH and cut.completion_tokens == 7
    assert cut.prompt_tokens > 10 and cut.seconds > 0 and cut.text
    assert whole.finish_reason is FinishReason.STOP


def test_temperature_and_seed_reach_the_sampler():
    async def main() -> list[str]:
        model = LocalModel(SPEC)
        try:
            return [
                (await model.complete(request("Invent a name.", **sampling))).text
                for sampling in (
                    {"temperature": 1.5, "seed": 1},
                    {"temperature": 1.5, "seed": 2},
                    {"temperature": 1.5, "seed": 1},
                    # 2³²−1 asks llama.cpp for a seed of its own choice; here it is like any other.
                    {"temperature": 1.5, "seed": 0xFFFFFFFF},
                    {"temperature": 1.5, "seed": 0xFFFFFFFF},
                    {"temperature": 0.0, "seed": 1},
                    {"temperature": 0.0, "seed": 2},
                )
            ]
        finally:
            await model.close()

    one, two, one_again, large, large_again, greedy, greedy_again = asyncio.run(main())
    assert one == one_again != two
    assert large == large_again
    assert greedy == greedy_again


def test_a_request_that_is_too_long_is_refused_in_the_servers_words_and_the_next_one_served():
    async def main() -> None:
        model = LocalModel(SPEC)
        try:
            with pytest.raises(RefusedRequestError, match="exceeds the available context size"):
                await model.complete(request("word " * 5000))
            assert (await model.complete(request("Say hi."))).text
        finally:
            await model.close()

    asyncio.run(main())


def test_the_event_loop_runs_on_while_the_model_works_and_what_is_cancelled_is_abandoned():
    async def main() -> None:
        model = LocalModel(SPEC)
        try:
            await model.complete(request("hi", max_tokens=1))
            long = asyncio.create_task(model.complete(request("Tell a story.", max_tokens=3000)))
            for _ in range(20):
                await asyncio.sleep(0.01)
            long.cancel()
            assert (await model.complete(request("hi", max_tokens=1))).completion_tokens == 1
            assert long.cancelled()
        finally:
            await model.close()

    asyncio.run(main())


def test_ctrl_c_in_the_middle_of_a_long_prompt_ends_the_process_without_a_crash():
    # A shell that starts its jobs in the background lets them ignore SIGINT, and so their children.
    script = """
import asyncio, signal
from wavecoder.llm import open_model
from wavecoder.records import ChatRequest, Message
signal.signal(signal.SIGINT, signal.default_int_handler)
async def main():
    model = open_model("local:smollm2-135m-instruct")
    try:
        print("ready", flush=True)
        text = "word " * 3500
        await model.complete(ChatRequest(messages=(Message(role="user", content=text),)))
    finally:
        await model.close()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    raise SystemExit(130)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.readline()
        time.sleep(1.0)
        child.send_signal(signal.SIGINT)
        child.wait(timeout=300)
        assert (child.returncode, child.stderr.read()) == (130, b"")


def test_nobody_else_can_ask_the_server_behind_it():
    async def main() -> None:
        model = LocalModel(SPEC)
        try:
            await model.complete(request("hi", max_tokens=1))
            assert model._server is not None
            address = model._server.result().listening_address
            assert address.startswith("http://127.0.0.1:")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"{address}/v1/chat/completions", data=b"{}")
        finally:
            await model.close()

    asyncio.run(main())


def test_two_slots_serve_two_requests_and_are_part_of_the_identity():
    async def main() -> None:
        model = LocalModel(f"{SPEC}?slots=2")
        assert model.concurrency == 2
        assert model.identity == f"{LocalModel(SPEC).identity} slots=2"
        try:
            texts = ["Say hi.", "Say no."]
            both = await asyncio.gather(*(model.complete(request(text)) for text in texts))
            assert all(reply.text for reply in both)
        finally:
            await model.close()

    asyncio.run(main())


def test_closing_twice_is_fine_and_one_of_two_models_hurts_not_the_other():
    async def main() -> None:
        first, second = LocalModel(SPEC), LocalModel(SPEC)
        before = [await model.complete(request("Say hi.")) for model in (first, second)]
        await first.close()
        await first.close()
        with pytest.raises(ModelError, match="closed"):
            await first.complete(request("Say hi."))
        after = await second.complete(request("Say hi."))
        assert before[0].text == before[1].text == after.text
        await second.close()
        await LocalModel(SPEC).close()  # never loaded

    asyncio.run(main())


def test_the_same_bytes_have_the_same_identity_wherever_they_lie(tmp_path, weights):
    (tmp_path / "other name.gguf").symlink_to(weights)
    by_path = open_model(f"local:{tmp_path}/other name.gguf")
    assert by_path.identity == open_model(SPEC).identity == f"{NAME}@b179c9523d0e6a0f"


def test_a_file_nobody_knows_is_identified_by_its_hash(tmp_path):
    (tmp_path / "mine.gguf").write_bytes(b"GGUF and more")
    assert open_model(f"local:{tmp_path}/mine.gguf").identity.startswith("gguf@")


def test_a_truncated_model_is_one_sentence_and_neither_noise_nor_a_crash(tmp_path, weights):
    size = weights.stat().st_size
    # In the header, in the vocabulary, in the middle of the tensors, one byte short.
    cuts = [4, 24, 1000, 1_700_000, size // 2, size - 1]
    for cut in cuts:
        shutil.copyfile(weights, tmp_path / f"{cut}.gguf")
        with (tmp_path / f"{cut}.gguf").open("r+b") as file:
            file.truncate(cut)
    script = """
import asyncio, sys
from wavecoder.errors import ModelError
from wavecoder.llm import open_model
from wavecoder.records import ChatRequest, Message
async def main():
    for path in sys.argv[1:]:
        model = open_model(f"local:{path}")
        try:
            await model.complete(ChatRequest(messages=(Message(role="user", content="hi"),)))
        except ModelError as error:
            print(error)
        await model.close()
asyncio.run(main())
"""
    done = python(script, *(str(tmp_path / f"{cut}.gguf") for cut in cuts))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(cuts)
    for cut, line in zip(cuts, lines, strict=True):
        assert f"cannot load {tmp_path}/{cut}.gguf ({cut} bytes)" in line and "truncated" in line


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        ("local:smollm2-135m", ModelNotFoundError, "Did you mean 'smollm2-135m-instruct'"),
        ("local:/no/such.gguf", ModelNotFoundError, "There is no model file /no/such.gguf"),
        ("local:no/such", ModelNotFoundError, "There is no model file no/such"),
        (f"local:{'x' * 300}.gguf", ModelNotFoundError, "File name too long"),
        (f"local:{'x' * 300}/x.gguf", ModelNotFoundError, "File name too long"),
        (f"local:{'x' * 300}", ModelNotFoundError, "There is no model 'xxx"),
        ("local:~no-such-user/x.gguf", ModelNotFoundError, "home is ~no-such-user"),
        (f"{SPEC}?slot=2", ConfigError, "Did you mean 'slots'"),
        (f"{SPEC}?slots=0", ConfigError, "whole number"),
        (f"{SPEC}?slots=two", ConfigError, "whole number"),
        (f"{SPEC}?slots=", ConfigError, "whole number"),
    ],
)
def test_what_does_not_exist_is_said_when_the_model_is_opened(spec, kind, words):
    with pytest.raises(kind, match=words):
        open_model(spec)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_without_permission_is_said(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    try:
        with pytest.raises(ModelNotFoundError, match="Permission denied"):
            open_model(f"local:{closed}/x.gguf")
    finally:
        closed.chmod(0o700)


def test_files_that_are_no_model_are_refused(tmp_path):
    (tmp_path / "page.gguf").write_text("<html>Not found</html>")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelNotFoundError, match="begins with b'<htm'"):
        open_model(f"local:{tmp_path}/page.gguf")
    with pytest.raises(ModelNotFoundError, match=r"Did you mean .*model\.gguf"):
        open_model(f"local:{tmp_path}/modell.gguf")


def test_without_llama_cpp_the_extra_is_named():
    script = """
import sys
sys.modules["xllamacpp"] = None  # how Python marks a module that is not there
from wavecoder.errors import MissingExtraError
from wavecoder.llm import open_model
try:
    open_model("local:smollm2-135m-instruct")
except MissingExtraError as error:
    print(error)
"""
    assert "pip install 'wavecoder[local]'" in python(script).stdout


@pytest.mark.slow
def test_the_half_billion_model_writes_code_the_same_in_any_order():
    first = python(ASK_IN_ORDER, "local:qwen2.5-coder-0.5b-instruct", "1", "2", "3")
    second = python(ASK_IN_ORDER, "local:qwen2.5-coder-0.5b-instruct", "3", "1", "2")
    assert first.stderr == second.stderr == ""
    assert sorted(first.stdout.splitlines()) == sorted(second.stdout.splitlines())
