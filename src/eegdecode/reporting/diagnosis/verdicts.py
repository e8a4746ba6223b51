"""What a diagnosis can say: the verdicts, what each means, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MEANING = {    # in order: what explains most stands first
    "diverged": "The loss rises above that of a uniform answer: settings, network or a bug.",
    "rate too high": "The rate throws the weights about; nothing is learned.",
    "input scale": "The signals that the network sees are far too small or too large: volts, not µV?",
    "over-regularised": "The regularisation is stronger than the data.",
    "dead parameters": "Weights get no gradient: a part of the network does nothing, or is cut off.",
    "rate too low": "The rate is too low for the weights to move.",
    "too few steps": "The training ended before it had learned.",
    "constant output": "The output does not depend on the input.",
    "vanishing gradients": "Hardly any gradient reaches the first layer.",
    "exploding gradients": "The gradients are far too large: settings, network or signals.",
    "data problem": "Validation trials are learned, training trials are not: the training data or labels are wrong.",
    "stuck": "Nothing is learned: loss at ln K, accuracy within chance.",
    "oscillating": "The loss swings from epoch to epoch.",
    "under-fitting": "Not even the training trials are learned well.",
    "class never predicted": "A class that occurs is never the answer.",
    "too good to be true": "As good as perfect on trials that were not seen: look for a leak.",
    "shift": "The test is far below validation, or gets other answers: the test session or subject differs.",
    "too few trials": "The training trials are learned by heart, and there are few of them.",
    "memorising": "What is learned of the training trials holds for no others: labels, split, or over-fitting.",
    "over-fitting": "Training trials are learned far better than others.",
    "over-confident": "Validation loss rises late while the accuracy stays: surer than right.",
    "fits": "The training trials are learned; without validation trials nothing says how well others are.",
    "undecided": "Too few validation trials to tell learning from memorising.",
    "learning": "It learns what holds for other trials.",
}
WELL = ("learning", "fits", "undecided")
NOTES = ("over-confident",)    # told, and no sickness: the answers are right as often as before


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    Attributes
    ----------
    verdict : str
        One of `MEANING`.
    evidence : str
        The numbers that it rests on.
    confidence : float
        From .5 (at the threshold of its rule) to .99. A degree, not a frequency.
    remedy : str
        Overrides to type, as they are, then after a semicolon what else to do; empty where all is well.
    """

    verdict: str
    evidence: str
    confidence: float
    remedy: str = ""

    @property
    def sick(self) -> bool:
        """Whether something is wrong."""
        return self.verdict not in (*WELL, *NOTES)

    def sentence(self) -> str:
        """Verdict, evidence and remedy in one line."""
        remedy = f" Try: {self.remedy}" if self.remedy else ""    # no full stop: it would be copied
        return f"{self.verdict} ({self.confidence:.0%}): {self.evidence}.{remedy}"


def to_type(remedy: str) -> tuple[str, str]:
    """Split a remedy into overrides to type and advice; each may be empty."""
    first, _, rest = remedy.partition("; ")
    return (first, rest) if "=" in first else ("", remedy)


def ordered(findings: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Put first what explains most."""
    rank = list(MEANING)
    return sorted(findings, key=lambda finding: rank.index(finding.verdict))
