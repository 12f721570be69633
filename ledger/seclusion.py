"""What each process does first: no crash dump of it is written.

A core dump would hold prompts, and so words of people who never agreed.
"""

from __future__ import annotations


def forbid_crash_dumps() -> None:
    """Set the limit of core dumps to nothing, for this process and those that it starts."""
    try:
        import resource
    except ImportError:  # Windows has neither
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


__all__ = ["forbid_crash_dumps"]
