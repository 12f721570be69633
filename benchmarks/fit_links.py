"""Train the scorer of reply links: ``ledger/talk/link_weights.json``.

    python benchmarks/fit_links.py LOGS… [--out ledger/talk/link_weights.json] [--rounds 3]

LOGS are annotated logs (see ``annotated_logs``); none of them may be among those that
``bench_conversations.py`` measures on. The likelihood of what was really answered is maximised, over the
candidates of each message (softmax). Some features tell of the conversations so far: in the first round
those are the annotated ones, afterwards those that the last round's weights find, as they will be when the
weights are used (DAgger: Ross, Gordon and Bagnell 2011). Writes weights and figures alone: no names, no text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotated_logs import Log, load, without_names
from ledger.talk import link_features
from ledger.talk.link_features import ROWS, SPAN, START
from ledger.talk.link_scorer import SCALE, LinkScorer
from ledger.talk.talk_so_far import Said, TalkSoFar

GAP_MS = 15 * 60_000
UNITS = 16
EPOCHS = 6
BATCH = 256
RATE = 5e-3
DROPPED = 0.1
"""Share of features hidden in training: the loss falls less, other channels are met better."""
CONTEXT = 250
"""Messages read before the first annotated one: most logs have a thousand, which takes twice as long."""
SHARE = 4
"""All rounds but the last learn from every fourth log: their weights only have to find links."""
UNNAMED = 3
"""Every third log is learned a second time without names: few channels name people as IRC does."""
DATA = "Kummerfeld et al. 2019, A Large-Scale Corpus for Conversation Disentanglement: training part"


@dataclass(frozen=True)
class Examples:
    """Rows of all choices (padded with ROWS), how many choices each message has, and which are right."""

    rows: np.ndarray
    sizes: np.ndarray
    right: np.ndarray


def examples(logs: Sequence[Log], scorer: LinkScorer | None) -> Examples:
    """Walk through the logs with the annotated links, or with those that ``scorer`` finds."""
    rows: list[list[int]] = []
    sizes, right = [], []
    for log in logs:
        for choices, correct in _choices(log, scorer):
            rows += choices
            sizes.append(len(choices))
            right += correct
    width = max(map(len, rows))
    table = np.full((len(rows), width), ROWS, dtype=np.int16)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return Examples(table, np.array(sizes), np.array(right))


def _choices(log: Log, scorer: LinkScorer | None) -> Iterator[tuple[list[list[int]], list[bool]]]:
    talk = TalkSoFar(GAP_MS)
    first = next(place for place, message in enumerate(log.messages) if message.id in log.parents)
    messages = log.messages[max(0, first - CONTEXT) :]
    for message in messages:
        said = talk.read(message)
        if scorer is None and message.id not in log.parents:
            talk.remember(said, None)
            continue
        found: list[Said | None] = [None, *talk.candidates(said)]
        alone = link_features.of_message(talk, said)
        pairs = link_features.of_pairs(talk, said, [each for each in found if each is not None])
        parents = log.parents.get(message.id)
        right = [
            not parents if each is None else messages[each.place].id in (parents or ()) for each in found
        ]
        if scorer is not None:
            scores = scorer.scores(alone, pairs)
            chosen = scores.index(max(scores))
        else:
            chosen = right.index(True) if any(right) else 0
        talk.remember(said, found[chosen])
        # Three in a hundred answer something that is no candidate, and teach nothing.
        if parents is not None and any(right):
            yield [[START, *(row + SPAN for row in alone)], *(pair + alone for pair in pairs)], right


class LinkNetwork(torch.nn.Module):
    """Rows of weights, summed: hidden units, and one direct weight each."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.EmbeddingBag(ROWS + 1, UNITS, mode="sum", padding_idx=ROWS)
        self.direct = torch.nn.EmbeddingBag(ROWS + 1, 1, mode="sum", padding_idx=ROWS)
        self.output = torch.nn.Linear(UNITS, 1, bias=False)
        torch.nn.init.normal_(self.hidden.weight, std=0.15)
        torch.nn.init.zeros_(self.direct.weight)
        with torch.no_grad():
            self.hidden.weight[ROWS] = 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return a score for each line of row numbers."""
        total: torch.Tensor = self.output(functional.relu(self.hidden(rows))) + self.direct(rows)
        return total[:, 0]


def fit(data: Examples, *, seed: int, epochs: int = EPOCHS) -> LinkNetwork:
    """Return a network trained from scratch."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network = LinkNetwork()
    ends = np.cumsum(data.sizes)
    steps = epochs * -(-len(ends) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        order, losses = draw.permutation(len(ends)), []
        for chosen in np.array_split(order, -(-len(ends) // BATCH)):
            loss = _loss(network, data, chosen, ends)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"  epoch {epoch + 1}: {np.mean(losses):.4f} nats a message", flush=True)
    return network


def _loss(network: LinkNetwork, data: Examples, chosen: np.ndarray, ends: np.ndarray) -> torch.Tensor:
    """Return the mean negative log-likelihood of a right choice, in nats."""
    places = np.concatenate([np.arange(ends[each] - data.sizes[each], ends[each]) for each in chosen])
    message = torch.from_numpy(np.repeat(np.arange(len(chosen)), data.sizes[chosen]))
    rows = torch.from_numpy(data.rows[places].astype(np.int64))
    hidden = torch.rand(rows.shape) < DROPPED
    hidden[:, 0] = False  # it says which choice is a start
    scores = network(rows.masked_fill(hidden, ROWS))
    # The mean of large negative logits would underflow; 30 nats below the best, a choice does not count.
    best = torch.full((len(chosen),), -torch.inf).scatter_reduce(0, message, scores.detach(), "amax")
    weights = torch.exp((scores - best[message]).clamp(min=-30))
    total = torch.zeros(len(chosen)).index_add(0, message, weights)
    good = torch.zeros(len(chosen)).index_add(0, message, weights * torch.from_numpy(data.right[places]))
    return (torch.log(total) - torch.log(good)).mean()


def whole_numbers(network: LinkNetwork) -> dict[str, Any]:
    """Return the weights as whole multiples of 1/SCALE (and the direct ones of 1/SCALE squared)."""
    hidden = (network.hidden.weight.detach()[:ROWS] * SCALE).round().int().tolist()
    direct = (network.direct.weight.detach()[:ROWS] * SCALE**2).round().int().tolist()
    output = (network.output.weight.detach()[0] * SCALE).round().int().tolist()
    return {"output": output, "rows": [[*units, *one] for units, one in zip(hidden, direct, strict=True)]}


def write(path: Path, weights: dict[str, Any], logs: Sequence[Log], data: Examples) -> None:
    """Write the weights, with what they are and their hash."""
    numbers = json.dumps(weights["rows"], separators=(",", ":"))
    about = {
        "what": "weights of ledger/talk/link_scorer.py, trained by benchmarks/fit_links.py",
        "data": DATA,
        "licence of the data": "CC-BY-4.0",
        "trained": datetime.now(UTC).date().isoformat(),
        "logs": len(logs),
        "messages": len(data.sizes),
        "sha256 of rows": hashlib.sha256(numbers.encode()).hexdigest(),
    }
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in weights["rows"])
    head = f'{{"about": {json.dumps(about, indent=1)},\n"output": {weights["output"]},\n'
    text = f'{head}"rows": [\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", type=Path, nargs="+", help="annotated logs to learn from")
    parser.add_argument("--out", type=Path, default=Path("ledger/talk/link_weights.json"))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logs = [log for path in arguments.logs for log in load(path)]
    scorer = None
    for number in range(arguments.rounds):
        began = time.perf_counter()
        last = number == arguments.rounds - 1
        chosen = logs if last else logs[number::SHARE]
        data = examples([*chosen, *map(without_names, chosen[::UNNAMED])], scorer)
        print(f"round {number + 1}: {len(data.sizes):,} messages, {len(data.rows):,} choices", flush=True)
        weights = whole_numbers(fit(data, seed=number))
        scorer = LinkScorer(weights)
        write(arguments.out, weights, logs, data)
        print(f"  {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
