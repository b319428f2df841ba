"""Waiting for a condition, with a deadline: the only way in which these tests let time pass."""

import threading
import time

PATIENCE = 60.0
_NEVER = threading.Event()


def eventually(what, look, seconds=PATIENCE, every=0.05):
    """Calls `look` until it answers something true, and answers that; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        _NEVER.wait(every)
