from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from wavecoder.errors import ConfigError
from wavecoder.plugins import validate


class Part(BaseModel):
    size: int = 1


class Table(BaseModel):
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = {}
    text: str = ""

    @model_validator(mode="after")
    def _known(self) -> "Table":
        if self.text == "odd":
            raise ValueError("there is no 'odd'. Known: even.")
        return self


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"parts": {"size": 1}}, "t.parts: a list should be there. Mend it there."),
        ({"parts": "a"}, "t.parts: a list should be there, got 'a'. Mend it there."),
        ({"parts": ["a"]}, "t.parts.0: a table should be there, got 'a'. Mend it there."),
        ({"by_name": [1]}, "t.by_name: a table should be there, got [1]. Mend it there."),
        ({"text": ["long"] * 20}, "t.text: Input should be a valid string. Mend it there."),
        ({"text": "odd"}, "t: there is no 'odd'. Known: even. Mend it there."),
    ],
)
def test_what_does_not_fit_is_told_in_words_of_a_recipe(table: Mapping[str, Any], words: str):
    with pytest.raises(ConfigError) as caught:
        validate(Table, table, "t")
    assert str(caught.value) == words
