"""The README of a tuned model, as the hub reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

__all__ = ["Facts", "called", "card"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card tells, as plain values."""

    name: str
    """What the model is called: the folder it is in."""
    base: str
    """The base model's name as the recipe gives it."""
    base_revision: str | None = None
    adapter: str
    """`none`, `lora` or `qlora`."""
    template: str
    """`alpaca` or `chat`."""
    dialogues: int
    """Dialogues in an epoch."""
    held_out: int
    tokens: int
    """Tokens that went through the model."""
    steps: int
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Dialogues by `task`, `source`, `licence`, ...: a table each. A dataset's have the task
    `other`."""
    fingerprint: str
    """Of the dataset: the same fingerprint is the same data."""
    seed: int
    """The run's random seed."""
    recipe: Mapping[str, object]
    """The stage's settings, resolved."""
    versions: Mapping[str, str]
    """Of the libraries that made it."""
    loss_before: float | None = None
    """Mean loss a response token of the dialogues held out; None where none were."""
    loss_after: float | None = None
    scores: str | None = None
    """A Markdown table; None where nothing was measured."""
    whole: bool = True
    """The folder is a model; False: an adapter that was not merged."""


def called(base: str) -> str:
    """Return a base's name; of a folder its last part, as where it lies says nothing elsewhere."""
    return Path(base).name if base.startswith(("/", "~", ".")) else base


def card(facts: Facts) -> str:
    """Return the text of `README.md`: a table of metadata in YAML, then Markdown."""
    parts = [
        _metadata(facts),
        f"# {facts.name}\n\n{_summary(facts)}",
        f"## Data\n\n{_data(facts)}",
        f"## Loss\n\n{_loss(facts)}",
        f"## Scores\n\n{facts.scores or 'None were measured with this model.'}",
        f"## Asking it\n\n{_asking(facts)}",
        f"## Recipe\n\n```yaml\n{_yaml({'seed': facts.seed, 'train': dict(facts.recipe)})}```",
        "## Versions\n\n"
        + "\n".join(f"- {name} {facts.versions[name]}" for name in facts.versions),
        f"## Limits\n\n{_limits(facts)}",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _yaml(table: Mapping[str, object]) -> str:
    return str(yaml.safe_dump(dict(table), sort_keys=False, allow_unicode=True))


def _on_hub(base: str) -> bool:
    """Say whether a base is a name on the hub, which alone its metadata may link to."""
    return base.count("/") == 1 and not base.startswith((".", "~", "/")) and not Path(base).exists()


def _metadata(facts: Facts) -> str:
    """Return the front matter. `datasets` is left out: the data is on no hub."""
    table: dict[str, object] = {}
    if _on_hub(facts.base):
        table["base_model"] = facts.base
        table["base_model_relation"] = "finetune" if facts.whole else "adapter"
    table["library_name"] = "transformers" if facts.whole else "peft"
    table["pipeline_tag"] = "text-generation"
    table["tags"] = ["code", "wavecoder", "sft", "trl"]
    return f"---\n{_yaml(table)}---"


def _summary(facts: Facts) -> str:
    revision = f" at revision {facts.base_revision}" if facts.base_revision else ""
    how = "every weight was trained" if facts.adapter == "none" else f"with {facts.adapter}"
    if facts.adapter != "none" and facts.whole:
        how += ", merged into the weights"
    return (
        f"`{facts.base}`{revision}, tuned on {facts.dialogues:,} dialogues by wavecoder ({how}): "
        f"{facts.steps:,} steps, {facts.tokens:,} tokens. Only responses carried loss."
    )


def _data(facts: Facts) -> str:
    lines = [
        f"Fingerprint `{facts.fingerprint}`; {facts.dialogues:,} dialogues an epoch, "
        f"{facts.held_out:,} held out."
    ]
    for what, counts in facts.counts.items():
        rows = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        body = "\n".join(f"| {_cell(name)} | {count:,} |" for name, count in rows)
        lines.append(f"| {what} | dialogues |\n| --- | ---: |\n{body}")
    return "\n\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _loss(facts: Facts) -> str:
    if facts.loss_after is None:
        return (
            "No dialogues were held out, so that no loss was measured on what was not trained on."
        )
    before = "" if facts.loss_before is None else f"{facts.loss_before:.4f} before the first step, "
    return (
        f"Mean loss a response token of the {facts.held_out:,} dialogues held out: {before}"
        f"{facts.loss_after:.4f} after the last."
    )


def _asking(facts: Facts) -> str:
    """Return how to ask it: the chat template in the folder is the text it was trained with."""
    words = (
        "The chat template in this folder writes what the model was trained on, Alpaca's words"
        if facts.template == "alpaca"
        else "The chat template in this folder is the base's own, which the model was trained with"
    )
    if not facts.whole:
        return f"""{words}. This is an adapter: PEFT loads it beside its base.

```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{facts.name}", dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("{facts.name}")
```"""
    return f"""{words}.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{facts.name}")
model = AutoModelForCausalLM.from_pretrained("{facts.name}", dtype="auto")
messages = [{{"role": "user", "content": "Write a Python function that reverses a string."}}]
prompt = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**prompt, max_new_tokens=512, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))
```

```bash
vllm serve {facts.name} --generation-config vllm
```

Without `--generation-config vllm` the sampling defaults of the base, where it has some, change
what is said, a repetition penalty even at temperature 0."""


def _limits(facts: Facts) -> str:
    tasks = facts.counts.get("task", {})
    lines = ["Its answers may be wrong or unsafe to run; run them in a sandbox."]
    if tasks.keys() - {"other"}:
        lines.append(
            "Dialogues were written by language models about real functions: the mistakes of the "
            "first and the licences of the second stay with them."
        )
    if "other" in tasks:
        lines.append("Check the licences of the datasets above.")
    lines += [
        f"The base's licence and terms hold: see `{facts.base}`.",
        "The loss held out says how well it continues such dialogues, not how many programs pass "
        "tests.",
    ]
    return "\n".join(f"- {line}" for line in lines)
