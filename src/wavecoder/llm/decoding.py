"""Several prompts go through a model of transformers at once, each with its own end.

`decode` runs `generate` over a batch whose shorter prompts are filled up on the left. A row ends at
the model's end token, at its own limit or at one of its own stop words; what is written behind the
end is dropped. Greedy rows take the likeliest token; the others draw with a generator of their own,
seeded by their request, so that no row's draws depend on who stands beside it.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from wavecoder.records import Sampling

__all__ = ["Row", "Written", "decode"]

_SPARE = 8
"""Tokens looked at for a stop word beyond its bytes: the first of a text may lose a space."""


@dataclass(frozen=True)
class Row:
    """A prompt as tokens, and how it is answered."""

    prompt: Sequence[int]
    sampling: Sampling


@dataclass(frozen=True)
class Written:
    """What came of a row."""

    text: str
    """Without the stop word."""
    tokens: int
    """With the end token and the stop word."""
    whole: bool
    """It came to its own end, and not to the limit."""


def decode(model: Any, tokenizer: Any, rows: Sequence[Row], *, closing: Event) -> list[Written]:
    """Return what the model writes behind each prompt.

    Args:
        model: One of transformers that writes from left to right, in evaluation mode.
        tokenizer: Its tokenizer.
        rows: Prompts of one token or more.
        closing: Once it is set, all rows end at the next token.
    """
    torch: Any = importlib.import_module("torch")
    longest = max(len(row.prompt) for row in rows)
    ends = _end_tokens(model)
    fill = ends[0] if ends else 0
    ids = torch.full((len(rows), longest), fill, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, longest - len(row.prompt) :] = torch.tensor(list(row.prompt), dtype=torch.long)
        mask[place, longest - len(row.prompt) :] = 1
    stops = _Stops(tokenizer, rows, longest, closing)
    draws = _Draws(torch, rows, model.device)
    with torch.inference_mode():
        whole = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            # The draws are ours: see _Draws.
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            # A checkpoint may ask for these; then a reply would hang on the filling, too.
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            max_new_tokens=max(row.sampling.max_tokens for row in rows),
            pad_token_id=fill,
            logits_processor=[draws],
            stopping_criteria=[stops],
        )
    written = whole[:, longest:].tolist()
    return [
        _written(tokenizer, tokens[: stops.ended.get(place)], row.sampling, ends)
        for place, (tokens, row) in enumerate(zip(written, rows, strict=True))
    ]


def _written(tokenizer: Any, tokens: list[int], sampling: Sampling, ends: Sequence[int]) -> Written:
    """Return a row's tokens up to its end as a reply."""
    end = next((at for at, token in enumerate(tokens) if token in ends), None)
    if end is not None:
        tokens = tokens[: end + 1]
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    stopped = [at for stop in sampling.stop or () if (at := text.find(stop)) >= 0]
    return Written(
        text=text[: min(stopped)] if stopped else text,
        tokens=len(tokens),
        whole=bool(stopped) or end is not None,
    )


class _Stops:
    """Ends each row at its own limit and its own stop words."""

    def __init__(self, tokenizer: Any, rows: Sequence[Row], begin: int, closing: Event) -> None:
        self.ended: dict[int, int] = {}
        """How many tokens a row has that came to its end here."""
        self._tokenizer, self._rows, self._begin, self._closing = tokenizer, rows, begin, closing

    def __call__(self, ids: Any, scores: Any, **more: Any) -> Any:
        torch: Any = importlib.import_module("torch")
        count = ids.shape[1] - self._begin
        everything = self._closing.is_set()
        done = [everything or self._is_done(place, ids, count) for place in range(len(self._rows))]
        return torch.tensor(done, device=ids.device)

    def _is_done(self, place: int, ids: Any, count: int) -> bool:
        sampling = self._rows[place].sampling
        if place not in self.ended and (
            count >= sampling.max_tokens or self._stopped(ids[place, self._begin :], sampling)
        ):
            self.ended[place] = count
        return place in self.ended

    def _stopped(self, written: Any, sampling: Sampling) -> bool:
        """Say whether the last tokens hold a stop word; a token has one byte or more."""
        if not sampling.stop:
            return False
        room = max(len(stop.encode()) for stop in sampling.stop) + _SPARE
        text = self._tokenizer.decode(written[-room:].tolist(), skip_special_tokens=True)
        return any(stop in text for stop in sampling.stop)


class _Draws:
    """Leaves a row that is not greedy one token to take: the one its own generator draws."""

    def __init__(self, torch: Any, rows: Sequence[Row], device: Any) -> None:
        self._torch = torch
        self._drawn: dict[int, tuple[Any, Sampling]] = {}
        for place, row in enumerate(rows):
            if row.sampling.temperature > 0:
                generator = torch.Generator(device=device)
                generator.manual_seed(row.sampling.seed)
                self._drawn[place] = (generator, row.sampling)

    def __call__(self, ids: Any, scores: Any) -> Any:
        torch = self._torch
        for place, (generator, sampling) in self._drawn.items():
            chances = torch.softmax(scores[place] / sampling.temperature, dim=-1)
            if sampling.top_p < 1:
                chances = _likeliest(torch, chances, sampling.top_p)
            token = torch.multinomial(chances, 1, generator=generator)
            scores[place] = float("-inf")
            scores[place, token] = 0.0
        return scores


def _likeliest(torch: Any, chances: Any, share: float) -> Any:
    """Return the chances of the fewest tokens that have `share` together, the others' as 0."""
    ordered, places = torch.sort(chances, descending=True)
    before = torch.cumsum(ordered, dim=-1) - ordered
    return torch.zeros_like(chances).scatter(0, places, ordered.where(before < share, 0.0))


def _end_tokens(model: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        return []
    return list(ends) if isinstance(ends, list) else [ends]
