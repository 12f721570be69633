"""Which adapters take requests, which are on their way out, and how many requests still use them.

Imported, not run. Its border: names and counts; the weights are in the bank. Not thread-safe: the
generator holds its lock around every call.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future

from ledger.errors import AdapterError


class Roster:
    """Adapters by name; ``None`` is the bare base, which is always there."""

    def __init__(self) -> None:
        self._serving: set[str] = set()
        self._retiring: dict[str, Future[None]] = {}
        self._users: Counter[str] = Counter()

    @property
    def serving(self) -> frozenset[str]:
        """Adapters that take requests."""
        return frozenset(self._serving)

    def add(self, name: str) -> None:
        """Let an adapter take requests."""
        self._serving.add(name)

    def enter(self, name: str | None) -> None:
        """Count a request in.

        Raises:
            AdapterError: the adapter takes no requests.
        """
        if name is None:
            return
        if name not in self._serving:
            raise AdapterError(f"The model {name} is not loaded: load it, or ask for another.")
        self._users[name] += 1

    def leave(self, name: str | None) -> None:
        """Count a request out."""
        if name is not None:
            self._users[name] -= 1

    def retire(self, name: str) -> Future[None]:
        """Take no more requests; the future ends with :meth:`removed`.

        Raises:
            AdapterError: it is not there, or is retiring already.
        """
        if name not in self._serving:
            raise AdapterError(f"The lora adapter '{name}' cannot be found.")
        self._serving.discard(name)
        self._retiring[name] = Future()
        return self._retiring[name]

    def revive(self, name: str) -> bool:
        """Let a retiring adapter take requests again; return False if it is not retiring."""
        done = self._retiring.pop(name, None)
        if done is None:
            return False
        self._serving.add(name)
        done.set_result(None)
        return True

    def unused(self) -> list[str]:
        """Return the retiring adapters whose last request has left."""
        return [name for name in self._retiring if not self._users[name]]

    def removed(self, name: str) -> None:
        """Note that a retired adapter has left memory."""
        del self._users[name]
        self._retiring.pop(name).set_result(None)
