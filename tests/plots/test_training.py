import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_hea.errors import DataError
from pyro_hea.plots import training_curve


def history(members=3, epochs=6):
    epoch = np.tile(np.arange(epochs), members)
    member = np.repeat(np.arange(members), epochs)
    table = pd.DataFrame({"epoch": epoch, "member": member, "loss": 10.0 - epoch + member})
    table["validation_elbo_loss"] = 11.0 - epoch + member
    table["validation_log_loss"] = np.where(epoch % 2 == 0, 0.5 + 0.1 * member - epoch / 50, np.nan)
    return table


def lines(ax):
    return {line.get_label().partition(",")[0]: line for line in ax.lines}


def test_both_panels_tell_their_units():
    upper, lower = training_curve(history())
    assert upper.get_ylabel() == "loss (nats per alloy)"
    assert lower.get_ylabel() == "log loss (nats per label)"
    assert "epoch" in lower.get_xlabel()


def test_lines_are_medians_and_bands_reach_from_least_to_greatest():
    upper, lower = training_curve(history())
    assert lines(upper)["training"].get_ydata().tolist() == [11, 10, 9, 8, 7, 6]
    assert lines(upper)["validation"].get_ydata().tolist() == [12, 11, 10, 9, 8, 7]
    band = upper.collections[0].get_paths()[0].vertices
    assert set(band[band[:, 0] == 2, 1]) == {8.0, 10.0}
    assert lines(lower)["validation"].get_xdata().tolist() == [0, 2, 4]


def test_members_that_stopped_early_leave_the_median_to_the_others():
    upper, _ = training_curve(history(2).query("member == 0 or epoch < 3"))
    assert lines(upper)["training"].get_ydata().tolist() == [10.5, 9.5, 8.5, 7, 6, 5]


def test_one_member_has_no_band_and_missing_validation_is_said():
    upper, lower = training_curve(
        history(1).assign(validation_elbo_loss=np.nan, validation_log_loss=np.nan)
    )
    assert not upper.collections
    assert len(upper.lines) == 1
    assert not lower.lines
    assert [text.get_text() for text in lower.texts] == ["not evaluated"]


def test_each_members_best_epoch_is_marked():
    table = history().assign(best=lambda t: t["epoch"] == t["member"] + 2)
    upper, lower = training_curve(table)
    assert lines(upper)["best epoch of a member"].get_xydata().tolist() == [[2, 9], [3, 9], [4, 9]]
    assert lines(lower)["best epoch of a member"].get_xdata().tolist() == [2, 4]


def test_a_log_loss_that_never_changes_has_no_panel():
    (only,) = training_curve(history().assign(validation_log_loss=0.3))
    assert only.get_ylabel() == "loss (nats per alloy)"
    assert "epoch" in only.get_xlabel()


def test_it_draws_on_the_axes_it_is_given():
    figure = Figure()
    axes = figure.subplots(2)
    assert training_curve(history(), axes) == tuple(axes)
    assert figure.axes == list(axes)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column 'loss'"):
        training_curve(history().drop(columns="loss"))
