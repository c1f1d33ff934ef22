"""Trees of JSON with random changes."""

import json

from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["CoCr", "single_phase", "0", "Normal", "\0", "<b>", "../x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def places(tree, path=()):
    """Every place of a tree of dicts and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(manifest, place, action, value):
    copy = json.loads(json.dumps(manifest))
    holder = copy
    for key in place[:-1]:
        holder = holder[key]
    if action == "remove":
        del holder[place[-1]]
    elif action == "add" and isinstance(holder, dict):
        holder[str(value)[:20]] = value
    elif action == "add":
        holder.insert(place[-1], value)
    else:
        holder[place[-1]] = value
    return copy
