"""Where the mouse is on a map: plotly tells of points that were clicked, but not of drags."""

from __future__ import annotations

import anywidget
import traitlets

MAP_CLASS = "pyro-hea-map"
"""CSS class of the box that holds the pointer beside its plotly map."""


class Pointer(anywidget.AnyWidget):
    """A widget without a face that follows the mouse over the map beside it.

    Attributes
    ----------
    place : tuple of float
        Where the map was last pressed or dragged over, in its coordinates. While Python is busy
        with one place, ipywidgets keeps only the newest one for it.
    mode : {"press", "follow", "off"}
        Whether a place counts where the mouse is pressed, wherever it is, or nowhere.
    """

    place = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.0, 0.0)).tag(
        sync=True
    )
    mode = traitlets.Enum(("press", "follow", "off"), "press").tag(sync=True)

    _esm = f"""
    const at = ([low, high], share) => low + share * (high - low);

    function render({{ model, el }}) {{
      let pressed = false;

      const tell = (event) => {{
        const map = el.closest(".{MAP_CLASS}")?.querySelector(".js-plotly-plot");
        const frame = map?.querySelector(".nsewdrag")?.getBoundingClientRect();
        if (!frame) return;
        const across = (event.clientX - frame.left) / frame.width;
        const up = (frame.bottom - event.clientY) / frame.height;
        if (Math.min(across, up) < 0 || Math.max(across, up) > 1) return;
        const {{ xaxis, yaxis }} = map.layout;
        model.set("place", [at(xaxis.range, across), at(yaxis.range, up)]);
        model.save_changes();
      }};

      const over = (event) =>
        el.closest(".{MAP_CLASS}")?.contains(event.target) && event.target.matches(".nsewdrag");
      const press = (event) => {{
        pressed = model.get("mode") !== "off" && event.button === 0 && over(event);
        if (pressed) tell(event);
      }};
      const move = (event) => {{
        if (pressed || (model.get("mode") === "follow" && over(event))) tell(event);
      }};
      const release = () => {{ pressed = false; }};

      const until = new AbortController();
      const options = {{ capture: true, signal: until.signal }};
      document.addEventListener("pointerdown", press, options);
      document.addEventListener("pointermove", move, options);
      document.addEventListener("pointerup", release, options);
      return () => until.abort();
    }}

    export default {{ render }};
    """
