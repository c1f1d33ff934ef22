"""What no case may take, and a stranger's error."""

import gc
import time


def in_time(read, error, seconds):
    """What `read` returns and "", or None and its error, within so many seconds of the processor.

    Those of the clock would fail a case for which the machine stopped. Collecting the garbage of
    all tests before takes up to a second, which is no case's.
    """
    found, refusal = None, ""
    gc.disable()
    start = time.thread_time()
    try:
        found = read()
    except error as fault:
        refusal = str(fault)
    finally:
        taken = time.thread_time() - start
        gc.enable()
    assert taken < seconds
    return found, refusal
