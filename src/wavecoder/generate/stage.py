"""Stage `generate`: an instance for each function of the coreset, written, checked and judged."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from wavecoder.contamination import index_of
from wavecoder.errors import ConfigError
from wavecoder.generate.asking import held, outcomes, prices_of, prover_for, write_free
from wavecoder.generate.config import GenerateConfig
from wavecoder.generate.engine import Engine
from wavecoder.generate.judge import meets
from wavecoder.generate.method import Method, Outcome
from wavecoder.generate.proofs import Prover, prompts
from wavecoder.llm import Ledger, Prices, open_model
from wavecoder.plugins import load_plugin, nearest
from wavecoder.protocols import ChatModel
from wavecoder.records import Instance, RawCode
from wavecoder.stage import Context

__all__ = ["Generate"]


# A calibration lets a run begin or not; the index stands in by its checksum, tasks by their texts.
_DECIDES_NOTHING = {
    *("api_key_env", "calibration", "decontaminate", "discriminator_api_key_env"),
    *("judge_at_least", "tasks"),
}


class Generate:
    """The paper's generator and discriminator (section 2.2.2), or another method of the field.

    The engine that asks the models is the same for all.
    """

    name: ClassVar[str] = "generate"
    data_version: ClassVar[int] = 4
    streaming: ClassVar[bool] = True
    writes: ClassVar[type[Instance]] = Instance
    Config: ClassVar[type[GenerateConfig]] = GenerateConfig

    def __init__(self, config: GenerateConfig) -> None:
        """Load the method and name the models; none is asked yet.

        Raises:
            ConfigError: A task or language is unknown.
            PluginError: The method is unknown.
            ModelNotFoundError: A model is unknown.
        """
        self.config = config
        method: Any = load_plugin("methods", config.method)
        self.method: Method = method(config)
        self._check_levels()
        self.index: Path | None = None
        """The hashes of what no instance may hold."""
        if config.decontaminate:
            own = config.decontaminate if isinstance(config.decontaminate, Path) else None
            self.index, _ = index_of(own)
        self.generator: ChatModel = open_model(config.generator, api_key_env=config.api_key_env)
        address = config.discriminator or config.generator
        # A key goes to nobody but the address it was named for.
        same = address.partition("#")[0] == config.generator.partition("#")[0]
        key = config.discriminator_api_key_env or (config.api_key_env if same else None)
        self.discriminator: ChatModel = (
            self.generator
            if (address, key) == (config.generator, config.api_key_env)
            else open_model(address, api_key_env=key)
        )
        self._check_judge()

    def _check_judge(self) -> None:
        """Hold the discriminator's calibration against what the recipe demands.

        Raises:
            ConfigError: It shows less, or cannot be read.
        """
        path, minimum = self.config.calibration, self.config.judge_at_least
        if minimum is None:
            return
        if path is None:
            raise ConfigError(
                "generate.judge_at_least needs a calibration and got none. Make one with "
                "`wavecoder calibrate --judge MODEL -o DIR`, and name DIR/calibration.json in "
                "generate.calibration."
            )
        try:
            calibration = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The calibration {path} cannot be read: {error}. Make it again with `wavecoder "
                f"calibrate`."
            ) from error
        why = meets(calibration, minimum, judge=self.discriminator.identity)
        if why is not None:
            raise ConfigError(why)

    def _check_levels(self) -> None:
        tasks = sorted(getattr(self.method, "tasks", (self.config.method,)))
        for name in self.config.levels:
            if name not in tasks:
                raise ConfigError(
                    f"generate.levels names {name!r}, which is no task of this recipe."
                    f"{nearest(name, tasks)} Tasks: {', '.join(tasks)}."
                )

    def identity(self) -> Mapping[str, object]:
        """Return the config, with models by revision and prompts by content."""
        config = self.config.model_dump(
            mode="json",
            exclude=_DECIDES_NOTHING,
        )
        return {
            **config,
            "generator": self.generator.identity,
            "discriminator": self.discriminator.identity,
            **self.method.identity(),
            **({"index": index_of(self.index)[1]} if self.index else {}),
            **({"proofs": _proof_prompts()} if self.config.levels else {}),
        }

    def inputs(self, ctx: Context) -> Iterable[RawCode]:
        """Return the coreset, in pick order.

        Raises:
            ConfigError: The recipe has no stage before this one.
        """
        if not ctx.upstream:
            raise ConfigError(
                "generate needs functions and no stage before it gives any; "
                "add collect and select to the recipe."
            )
        return list(ctx.upstream.values())[-1].records(RawCode)

    def run(self, inputs: Iterable[RawCode], ctx: Context) -> Iterator[Outcome]:
        """Yield an instance, or the reason why there is none, for each function in order."""
        write_free(self.models, ctx)
        total = list(ctx.upstream.values())[-1].manifest.kept
        with prover_for(self.config.levels, ctx) as prover:
            make = partial(self._engine, ctx, inputs=total, prover=prover)
            with closing(outcomes(make, inputs, ctx)) as jobs:
                for job in jobs:
                    assert job.outcome is not None
                    yield job.outcome

    def prices(self, path: Path | None) -> Prices:
        """Return what tokens cost, with nothing for a model that runs on this machine.

        Args:
            path: The user's own prices.

        Raises:
            ConfigError: They cannot be read.
        """
        return prices_of(self.models, path)

    @property
    def models(self) -> Sequence[ChatModel]:
        """Return the models that are asked."""
        return (self.generator, self.discriminator)

    def _engine(self, ctx: Context, ledger: Ledger, inputs: int, prover: Prover | None) -> Engine:
        """Return the engine, its models held to the limits and the budget.

        Raises:
            ConfigError: There is a cap on cost and a model's price is unknown.
        """
        (generator, discriminator), budget = held(self.models, ledger, ctx)
        return Engine(
            self.config,
            self.method,
            (generator, discriminator),
            ctx,
            budget,
            inputs,
            prover=prover,
            index=self.index,
        )


def _proof_prompts() -> Mapping[str, Any]:
    return {name: prompt.model_dump(mode="json") for name, prompt in prompts().items()}
