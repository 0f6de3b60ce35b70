"""What a model's tokens cost: a dated table, `prices.yaml`, and a file of your own in front of it.

```yaml
gpt-4o-mini: {prompt: 0.15, completion: 0.6, source: our contract, date: 2026-11-10}
qwen2.5-coder-0.5b-instruct: {prompt: 0, completion: 0}   # on our own machine
```

Prices are USD per million tokens. A price that is not known is None, never that of a similar name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date as Date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from wavecoder.errors import ConfigError
from wavecoder.plugins import validate

__all__ = ["Price", "Prices"]

# name-2024-08-06 and name-20240806 are the same release; ISO dates of this century alone, so that
# the number at the end of gpt-4-1106-preview or mistral-small-2506 is none.
_DATE = re.compile(r"-(20\d\d)-?([01]\d)-?([0-3]\d)$")


class Price(BaseModel):
    """What the tokens of one model cost."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prompt: float = Field(ge=0, allow_inf_nan=False)
    """USD per million tokens of the prompt."""
    completion: float = Field(ge=0, allow_inf_nan=False)
    """USD per million tokens of the completion."""
    source: str = "not said"
    """Where the price is published."""
    date: str = "not said"
    """The day of which it is, as YYYY-MM-DD."""

    @field_validator("date", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """YAML reads an unquoted date as a date."""
        return value.isoformat() if isinstance(value, Date) else value


class Prices:
    """The prices that are known, by model name."""

    def __init__(self, own: Mapping[str, Price]) -> None:
        """Put the entries of `own` in front of the built-in table."""
        self._own = {_same_date(name): price for name, price in own.items()}

    @classmethod
    def load(cls, path: Path | None = None) -> "Prices":
        """Return the built-in table with the entries of the YAML file at `path` in front of it.

        Raises:
            ConfigError: The file cannot be read, is no YAML mapping of names to prices, or has an
                unknown key or a negative price.
        """
        if path is None:
            return cls({})
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"Cannot read the prices {path}: {error.strerror}. Check the path."
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"The prices {path} are not UTF-8 text. Save them as UTF-8."
            ) from error
        return cls(_parse(text, str(path)))

    def with_own(self, own: Mapping[str, Price]) -> "Prices":
        """Return these prices with the entries of `own` behind a user's and before the table."""
        return Prices({**own, **self._own})

    def with_free(self, models: Iterable[str]) -> "Prices":
        """Return these prices, with nothing for models that run on this machine."""
        nothing = Price(prompt=0, completion=0, source="this machine", date="")
        return self.with_own(dict.fromkeys(models, nothing))

    def find(self, model: str) -> Price | None:
        """Return the price of the model called `model`, or None: unknown.

        `NAME-YYYY-MM-DD` and `NAME-YYYYMMDD` have the price of NAME unless they have their own.
        For an entry of the user's file, NAME is also found as `MAKER/NAME` and `NAME@REVISION`;
        a built-in entry only under its own maker, as open weights cost something else elsewhere.
        """
        tables = ((self._own, [*_dated(model), *_loosened(model)]), (_built_in(), _dated(model)))
        for table, names in tables:
            for name in names:
                if name in table:
                    return table[name]
        return None

    def cost(
        self, model: str, prompt_tokens: int | None, completion_tokens: int | None
    ) -> float | None:
        """Return what so many tokens of `model` cost in USD, or None: unknown."""
        price = self.find(model)
        if price is None or prompt_tokens is None or completion_tokens is None:
            return None
        return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1e6


def _dated(model: str) -> Iterator[str]:
    """Yield `model` as the tables have it, and then without its date."""
    yield _same_date(model)
    yield _DATE.sub("", model)


def _loosened(model: str) -> Iterator[str]:
    """Yield `model` without its revision, without its maker, and without both."""
    unrevised = model.partition("@")[0]
    for name in (unrevised, model.rpartition("/")[2], unrevised.rpartition("/")[2]):
        yield from _dated(name)


def _same_date(name: str) -> str:
    return _DATE.sub(r"-\1\2\3", name)


@cache
def _built_in() -> dict[str, Price]:
    text = files("wavecoder.llm").joinpath("prices.yaml").read_text(encoding="utf-8")
    table: dict[str, Price] = {}
    for name, price in _parse(text, "prices.yaml").items():
        table[_same_date(name)] = table[_same_date(name.rpartition("/")[2])] = price
    return table


def _parse(text: str, where: str) -> dict[str, Price]:
    try:
        tables: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-13-45
        problem = " ".join(str(error).split())
        raise ConfigError(f"The prices {where} are not YAML: {problem}. Mend it there.") from error
    if not isinstance(tables, dict):
        raise ConfigError(
            f"The prices {where} are no mapping of model names to prices. Write lines like "
            f"'gpt-4o-mini: {{prompt: 0.15, completion: 0.6}}', in USD per million tokens."
        )
    return {str(name): validate(Price, table, f"{where}: {name}") for name, table in tables.items()}
