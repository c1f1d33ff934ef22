"""What no case may take, and a stranger's error."""

import time


def in_time(read, error, seconds):
    """What `read` returns and "", or None and its error, within so many seconds of the processor.

    Seconds by the clock would fail a case that the machine stopped for a moment.
    """
    start, found, refusal = time.thread_time(), None, ""
    try:
        found = read()
    except error as fault:
        refusal = str(fault)
    assert time.thread_time() - start < seconds
    return found, refusal
