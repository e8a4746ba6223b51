"""The axis of the loss: what is drawn can be seen, also where trainings explode."""

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting.curves import draw_curves, draw_curves_by_subject


def tables(losses):
    """History and scores of runs with these losses, (run, epoch)."""
    rows = [
        {"key": f"k{run}", "subject": str(run), "epoch": epoch + 1, "running_loss": loss, "train_loss": loss,
         "val_loss": loss, "train_accuracy": 0.3, "val_accuracy": 0.3}
        for run, course in enumerate(losses) for epoch, loss in enumerate(course)
    ]    # fmt: skip
    scores = pd.DataFrame({
        "subject": [str(run) for run in range(len(losses))], "best_epoch": len(losses[0]), "chance": 0.25, "n_val": 40,
        "n_test": 40, "test_accuracy": 0.3,
    })    # fmt: skip
    return pd.DataFrame(rows), scores


CALM, BURST = np.linspace(1.4, 0.7, 12), np.geomspace(2e3, 50, 12)


@pytest.mark.parametrize(
    ("losses", "scale", "seen"),
    [([CALM, CALM], "linear", 2), ([CALM] * 9 + [BURST], "linear", 9), ([BURST, BURST], "log", 2)],
)
def test_the_axis_shows_most_runs_and_the_uniform_answer(losses, scale, seen):
    history, scores = tables(losses)
    ax = draw_curves(history, scores, n_classes=4, title="").axes[0]
    low, high = ax.get_ylim()
    assert ax.get_yscale() == scale
    assert low < np.log(4) < high
    assert sum(low <= min(course) and max(course) <= high for course in losses) == seen
    (small, *_) = draw_curves_by_subject(history, scores, n_classes=4).axes
    assert small.get_yscale() == scale


def test_losses_that_are_no_numbers_are_left_out():
    history, scores = tables([np.full(12, np.nan)])
    ax = draw_curves(history, scores, n_classes=4, title="").axes[0]
    assert ax.get_ylim() == pytest.approx((0, 1.1 * np.log(4)))


def test_epochs_are_counted_in_whole_numbers():
    history, scores = tables([np.linspace(1.4, 0.7, 15)])
    figure = draw_curves(history, scores, n_classes=4, title="")
    figure.draw_without_rendering()    # the layout decides how many ticks there are
    for ax in figure.axes[:2]:
        assert all(tick == int(tick) for tick in ax.get_xticks())


@pytest.mark.parametrize("chance", [0.25, 0.025])    # of forty classes there is no room below the line
def test_no_name_hides_a_curve(chance):
    history, scores = tables([CALM, CALM])
    figure = draw_curves(history, scores.assign(chance=chance), n_classes=4, title="")
    for ax, name in zip(figure.axes[:2], ("uniform answer: ln 4", "chance (95 %)"), strict=True):
        (text,) = (text for text in ax.texts if text.get_text() == name)
        curves = [line for line in ax.lines if len(line.get_xdata()) == len(CALM)]
        assert curves
        assert all(text.get_zorder() < line.get_zorder() for line in curves)
        drawn, inside = text.get_window_extent(figure.canvas.get_renderer()), ax.get_window_extent()
        assert inside.y0 <= drawn.y0 < drawn.y1 <= inside.y1
