"""The rows through data-designer: two LLM text columns, the second of which reads the first.

Run by benchmarks/peers.py in a venv of its own, with the path of a job (see job.py).
`max_parallel_requests` bounds a model's requests of all columns together. The judge is a text
column too: a judge column wants scores in JSON, which the server does not write. The health check
(a request before the rows) and the metrics port are off.
"""

import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner
from job import JOB, ROWS, measure

if __name__ == "__main__":
    model = dd.ModelConfig(
        alias="model",
        model="fake",
        provider="server",
        inference_parameters=dd.ChatCompletionInferenceParams(
            max_parallel_requests=JOB["in_flight"], max_tokens=JOB["max_tokens"]
        ),
        skip_health_check=True,
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    config.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame(ROWS)))
    for name, prompt in (("instance", JOB["write"]), ("verdict", JOB["judge"])):
        config.add_column(dd.LLMTextColumnConfig(name=name, prompt=prompt, model_alias="model"))
    server = dd.ModelProvider(name="server", endpoint=JOB["url"], api_key="none")
    designer = DataDesigner(artifact_path=JOB["work"], model_providers=[server])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
    measure(
        lambda: (
            designer.create(config, num_records=len(ROWS), dataset_name="rows")
            .load_dataset()
            .to_dict("records")
        )
    )
