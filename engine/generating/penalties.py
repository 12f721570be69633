"""Make tokens likelier or less likely before they are drawn: penalties, biases, a least length.

Imported, not run. Its border: logits in, logits out. Semantics are vLLM's and OpenAI's: presence and
frequency penalties count what the answer holds, the repetition penalty (Keskar et al. 2019) what prompt
or answer holds; a bias is added; no end token comes before ``min_tokens`` others. It touches only the few
hundred tokens that a row has seen, all rows in one step, and never the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from engine.generating.token_sampling import Dice


def adjusted(logits: torch.Tensor, dice: Sequence[Dice], stop_ids: Collection[int]) -> torch.Tensor:
    """Return ``logits`` [rows, vocabulary] as each row's parameters want them; other rows unchanged."""
    biases = {row: _biases(die, stop_ids) for row, die in enumerate(dice)}
    rows = [row for row, die in enumerate(dice) if biases[row] or _penalised(die)]
    if not rows:
        return logits
    changed = logits.float().clone()
    _add_biases(changed, [(row, *bias) for row in rows for bias in biases[row]])
    _penalise(changed, [row for row in rows if _penalised(dice[row])], dice)
    return changed


def _biases(die: Dice, stop_ids: Collection[int]) -> list[tuple[int, float]]:
    early = die.written.total() < die.sampling.min_tokens
    return [*die.sampling.logit_bias, *((token, -torch.inf) for token in stop_ids if early)]


def _penalised(die: Dice) -> bool:
    said = die.sampling
    counting = said.frequency_penalty != 0 or said.presence_penalty != 0 or said.repetition_penalty != 1
    return bool(die.prompt) or (counting and bool(die.written))


def _add_biases(logits: torch.Tensor, biases: Sequence[tuple[int, int, float]]) -> None:
    if biases:
        rows, tokens, values = (list(column) for column in zip(*biases, strict=True))
        where = (torch.tensor(rows, device=logits.device), torch.tensor(tokens, device=logits.device))
        values_ = torch.tensor(values, dtype=logits.dtype, device=logits.device)
        logits.index_put_(where, values_, accumulate=True)


def _penalise(logits: torch.Tensor, rows: Sequence[int], dice: Sequence[Dice]) -> None:
    """Apply the three penalties to the tokens that each row has seen."""
    if not rows:
        return
    seen = [list(dict.fromkeys([*dice[row].written, *dice[row].prompt])) for row in rows]
    width = max(map(len, seen))
    # Rows are padded with their own first token: all its copies get the same value, so scattering them
    # writes that value more than once and changes nothing else.
    filled = [tokens + tokens[:1] * (width - len(tokens)) for tokens in seen]
    counts = [[dice[row].written[token] for token in line] for row, line in zip(rows, filled, strict=True)]
    ids = torch.tensor(filled, device=logits.device)
    times = torch.tensor(counts, dtype=logits.dtype, device=logits.device)
    said = [dice[row].sampling for row in rows]
    repetition = _column([s.repetition_penalty for s in said], logits)
    frequency = _column([s.frequency_penalty for s in said], logits)
    presence = _column([s.presence_penalty for s in said], logits)
    some = logits[rows]
    values = some.gather(1, ids)
    values = torch.where(values > 0, values / repetition, values * repetition)
    values = values - frequency * times - presence * (times > 0)
    logits[rows] = some.scatter(1, ids, values)


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)
