"""What no case may take, and a stranger's error."""

import time


def in_time(read, error, seconds):
    """What `read` returns and "", or None and the message of its error, within so many seconds."""
    start, found, refusal = time.perf_counter(), None, ""
    try:
        found = read()
    except error as fault:
        refusal = str(fault)
    assert time.perf_counter() - start < seconds
    return found, refusal
