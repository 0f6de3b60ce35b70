import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavecoder.train.packing import holds


@pytest.mark.parametrize("architecture", ["llama", "gpt_bigcode", "qwen2", "starcoder2"])
@pytest.mark.parametrize("attention", ["auto", "sdpa", "eager"])
def test_packed_dialogues_do_not_see_each_other(
    tiny: Callable[[str], Path], architecture: str, attention: str
) -> None:
    assert holds(tiny(architecture), attention) is None


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "starcoder2"])
def test_an_attention_that_mixes_them_is_caught(
    tiny: Callable[[str], Path], mixing: Callable[..., Any], architecture: str
) -> None:
    import transformers

    transformers.AttentionInterface.register("mixing", mixing)
    why = holds(tiny(architecture), "mixing")
    assert why is not None
    assert why.startswith(f"{architecture} with mixing attention lets packed dialogues see")


def test_what_cannot_be_tried_is_not_packed(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(tiny("llama"), tmp_path / "odd")
    path = tmp_path / "odd" / "config.json"
    config = json.loads(path.read_text("utf-8")) | {"hidden_act": "nothing known"}
    path.write_text(json.dumps(config), "utf-8")
    why = holds(tmp_path / "odd", "sdpa")
    assert why is not None and why.startswith("Packing cannot be tried on llama with sdpa")
