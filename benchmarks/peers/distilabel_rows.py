"""The rows through distilabel: two `TextGeneration` tasks on `OpenAILLM`, one after the other.

Run by benchmarks/peers.py in a venv of its own, with the path of a job (see job.py). Each task is a
process that sends a batch at once and waits for all of it, so a batch is what a task has in flight:
half of what is allowed, as both tasks work at the same time. Inputs and outputs as sent are not
kept a second time in each row.
"""

from distilabel.models.llms import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
from job import JOB, ROWS, measure

BATCH = JOB["in_flight"] // 2


def task(name: str, columns: list[str], result: str) -> TextGeneration:
    """Return a task that fills the prompt `name` with `columns` and puts the reply in `result`."""
    return TextGeneration(
        name=name,
        llm=OpenAILLM(
            model="fake",
            base_url=JOB["url"],
            api_key="none",
            generation_kwargs={"max_new_tokens": JOB["max_tokens"]},
        ),
        template=JOB[name],
        columns=columns,
        output_mappings={"generation": result, "model_name": f"{name}_model"},
        input_batch_size=BATCH,
        add_raw_input=False,
        add_raw_output=False,
    )


if __name__ == "__main__":
    with Pipeline(name="rows", cache_dir=JOB["work"]) as pipeline:
        load = LoadDataFromDicts(data=ROWS, batch_size=BATCH)
        write = task("write", ["code"], "instance")
        judge = task("judge", ["code", "instance"], "verdict")
        load >> write >> judge
    measure(lambda: pipeline.run(use_cache=False)["default"]["train"])
