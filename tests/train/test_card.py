import ast
import shlex
from dataclasses import replace

import yaml

from wavecoder.train.card import Facts, card

FACTS = Facts(
    name="wavecoder-tiny",
    base="deepseek-ai/deepseek-coder-6.7b-base",
    base_revision="abc123",
    adapter="none",
    template="alpaca",
    dialogues=1234,
    held_out=66,
    tokens=987_654,
    steps=117,
    counts={
        "task": {"repair": 200, "generation": 1034},
        "licence": {"MIT": 1200, "a | b\nc": 34},
    },
    fingerprint="f" * 16,
    seed=17,
    recipe={"learning_rate": 5e-5, "batch": 512, "data": []},
    versions={"wavecoder": "0.1", "torch": "2.13.0"},
    loss_before=1.23456,
    loss_after=0.98765,
    scores="| benchmark | pass@1 |\n| --- | ---: |\n| humaneval | 0.640 |",
)


def front(text: str) -> dict[str, object]:
    _, table, _ = text.split("---\n", 2)
    found = yaml.safe_load(table)
    assert isinstance(found, dict)
    return found


def test_metadata_is_what_the_hub_reads():
    assert front(card(FACTS)) == {
        "base_model": "deepseek-ai/deepseek-coder-6.7b-base",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["code", "wavecoder", "sft", "trl"],
    }


def test_the_hub_itself_accepts_the_metadata():
    from huggingface_hub import ModelCard

    data = ModelCard(card(FACTS)).data
    assert data.base_model == FACTS.base
    assert data.library_name == "transformers"


def test_a_base_that_is_no_name_on_the_hub_is_not_linked_to():
    for base in ("local:smollm2-135m-instruct", "/models/base", "./base", "base"):
        assert "base_model" not in front(card(replace(FACTS, base=base)))


def test_a_card_says_data_recipe_losses_and_scores():
    text = card(FACTS)
    for part in (
        "# wavecoder-tiny",
        "`deepseek-ai/deepseek-coder-6.7b-base` at revision abc123",
        "1,234 dialogues",
        "117 steps, 987,654 tokens",
        f"`{'f' * 16}`",
        "| generation | 1,034 |\n| repair | 200 |",
        "| a \\| b c | 34 |",
        "1.2346 before the first step, 0.9877 after the last",
        "66 dialogues held out",
        "| humaneval | 0.640 |",
        "  learning_rate: 5.0e-05",
        "- torch 2.13.0",
    ):
        assert part in text, part


def test_what_was_not_measured_is_said():
    text = card(replace(FACTS, scores=None, loss_before=None, loss_after=None, held_out=0))
    assert "None were measured" in text
    assert "No dialogues were held out" in text


def test_an_adapter_that_was_not_merged_is_no_model():
    text = card(replace(FACTS, adapter="lora", whole=False))
    assert front(text)["library_name"] == "peft"
    assert front(text)["base_model_relation"] == "adapter"
    assert "AutoPeftModelForCausalLM" in text
    assert "vllm" not in text
    assert "merged" in card(replace(FACTS, adapter="lora"))


def test_what_it_tells_to_run_can_be_read():
    for facts in (FACTS, replace(FACTS, whole=False)):
        for block in card(facts).split("```python\n")[1:]:
            ast.parse(block.partition("```")[0])
    line = card(FACTS).split("```bash\n")[1].partition("```")[0]
    assert shlex.split(line)[:3] == ["vllm", "serve", "wavecoder-tiny"]
    assert "--generation-config vllm" in line  # or the base's repetition penalty changes answers
    recipe = card(FACTS).split("```yaml\n")[1].partition("```")[0]
    assert yaml.safe_load(recipe) == {"seed": 17, "train": dict(FACTS.recipe)}


def test_whose_words_the_dialogues_are_is_told_of_those_that_were_trained_on():
    models, datasets = "written by language models", "Check the licences of the datasets above"
    for tasks, told in (
        ({"repair": 3}, (True, False)),
        ({"other": 3}, (False, True)),
        ({"repair": 3, "other": 3}, (True, True)),
    ):
        text = card(replace(FACTS, counts={"task": tasks}))
        assert (models in text, datasets in text) == told
