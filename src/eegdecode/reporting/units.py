"""How a metric is written: what lies between 0 and 1 in per cent, what does not as the number that it is.

A kappa of -.014 is no "-1.4 %": it is 0 for guessing and may be below.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARES = ("accuracy", "balanced_accuracy", "f1_macro", "auroc", "ece")    # from 0 to 1


@dataclass(frozen=True)
class Unit:
    """``79.5 %`` and ``1.2 points``, or ``0.731`` and ``0.012``; a dash where there is no value."""

    scale: int
    digits: int
    sign: str

    def number(self, value: float | None) -> str:
        """For a table or a figure, whose head has the sign."""
        return "–" if value is None or value != value else f"{self._rounded(value):.{self.digits}f}"

    def text(self, value: float | None) -> str:
        """For a sentence."""
        number = self.number(value)
        return number if number == "–" else number + self.sign

    def interval(self, low: float, high: float) -> str:
        """From one value to another; one dash where there is none, as of one subject."""
        return "–" if low != low else f"{self.number(low)} to {self.number(high)}"

    def change(self, value: float) -> str:
        """A difference with its sign."""
        return "–" if value != value else f"{self._rounded(value):+.{self.digits}f}"

    def _rounded(self, value: float) -> float:
        """A little less than nothing is 0.0 and not -0.0."""
        return round(self.scale * value, self.digits) + 0.0

    @property
    def points(self) -> str:
        """What stands behind a difference in a sentence."""
        return " points" if self.sign else ""

    def head(self, name: str) -> str:
        """The head of a column."""
        return name + self.sign

    def change_head(self, name: str) -> str:
        """The head of a column of differences."""
        return name + "," * bool(self.sign) + self.points

    def axis(self, name: str) -> str:
        """The label of an axis."""
        return name + (f" ({self.sign.strip()})" if self.sign else "")


def unit_of(metric: str) -> Unit:
    """How this metric is written."""
    return Unit(100, 1, " %") if metric in SHARES else Unit(1, 3, "")
