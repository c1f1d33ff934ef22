"""Refusal of answers that would not fit into memory."""

from __future__ import annotations

from pyro_hea.errors import DataError

LARGEST = 8 * 2**30
"""Bytes of an answer, at most."""


def check_size(numbers: float, advice: str) -> None:
    """Refuse an answer that holds too many numbers.

    Parameters
    ----------
    numbers : float
        Numbers that are held at once, four bytes each.
    advice : str
        What to ask for instead.

    Raises
    ------
    DataError
        With the size that the answer would need.

    Examples
    --------
    >>> check_size(1e12, "ask for fewer draws")
    Traceback (most recent call last):
    pyro_hea.errors.DataError: this would need 3725.3 GiB of memory, and at most 8 are taken:
    ask for fewer draws
    """
    size = 4 * numbers
    if size > LARGEST:
        raise DataError(
            f"this would need {size / 2**30:.1f} GiB of memory, and at most {LARGEST // 2**30} are "
            f"taken: {advice}"
        )
