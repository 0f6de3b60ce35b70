"""A name becomes a model, through the same door for built-ins and for yours."""

import asyncio
import subprocess
import sys

import pytest

from wavecoder.errors import ConfigError, PluginError
from wavecoder.llm import HttpModel, LocalModel, ScriptedModel, open_model
from wavecoder.records import ChatRequest, Message

PLUGIN = """
from wavecoder.records import ChatReply
class Echo:
    concurrency = None
    def __init__(self, spec, api_key_env):
        self.identity = f"{spec} {api_key_env}"
    async def complete(self, request):
        return ChatReply(text=request.messages[-1].content, finish_reason="stop",
                         prompt_tokens=0, completion_tokens=0, seconds=0.0)
    async def close(self):
        pass
"""


def test_the_scheme_names_the_model_plugin(tmp_path):
    (tmp_path / "script.yaml").write_text("- {match: a, reply: b}")
    assert isinstance(open_model("http://localhost/v1#a"), HttpModel)
    assert isinstance(open_model("https://localhost/v1#a"), HttpModel)
    assert isinstance(open_model("local:smollm2-135m-instruct"), LocalModel)
    assert isinstance(open_model(f"scripted:{tmp_path}/script.yaml"), ScriptedModel)


def test_a_registered_model_of_yours_gets_the_whole_spec(tmp_path, monkeypatch):
    (tmp_path / "toy_echo.py").write_text(PLUGIN)
    info = tmp_path / "toy_echo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wavecoder.models]\necho = toy_echo:Echo\n")
    monkeypatch.syspath_prepend(tmp_path)
    model = open_model("echo:loud:1", api_key_env="TOY_KEY")
    assert model.identity == "echo:loud:1 TOY_KEY"
    request = ChatRequest(messages=(Message(role="user", content="hi"),))
    assert asyncio.run(model.complete(request)).text == "hi"


def test_a_class_that_is_not_registered_is_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "toy_package").mkdir()
    (tmp_path / "toy_package" / "models.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    assert open_model("toy_package.models:Echo").identity == "toy_package.models:Echo None"
    assert open_model("toy_package.models:Echo:x").identity == "toy_package.models:Echo:x None"


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        ("smollm2-135m-instruct", ConfigError, "Did you mean 'local:smollm2-135m-instruct'"),
        ("", ConfigError, "KIND:NAME"),
        ("local:", ConfigError, "KIND:NAME"),
        ("locla:smollm2-135m-instruct", PluginError, "Did you mean 'local'"),
        ("qwen2.5:7b", PluginError, "There is no model 'qwen2.5'"),
        ("no.such.module:Class", PluginError, "No module named 'no'"),
    ],
)
def test_a_spec_that_names_nothing_is_said(spec, kind, words):
    with pytest.raises(kind, match=words):
        open_model(spec)


def test_importing_the_package_loads_no_heavy_library():
    script = """
import sys
import wavecoder.llm
for name in ("aiohttp", "xllamacpp", "huggingface_hub", "pyarrow", "numpy"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", script], check=True)
