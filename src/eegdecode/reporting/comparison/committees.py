"""Ensembles on the page of a comparison: what the seeds of each model reach together."""

from __future__ import annotations

from collections.abc import Iterator

from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.page import Table
from eegdecode.reporting.ensembles import BY, ensemble_note, ensemble_of
from eegdecode.reporting.metrics import ECE_OF_FEW
from eegdecode.reporting.outcomes import DamagedError
from eegdecode.reporting.units import unit_of
from eegdecode.reporting.words import percent


def ensemble_table(comparison: Comparison) -> Iterator[Table]:
    """A row a model of two seeds or more, beside the mean of its members; nothing where there is none."""
    metric, unit, rows, notes = comparison.metric, unit_of(comparison.metric), [], []
    for label, entry in comparison.entries.items():
        try:
            found = ensemble_of(
                entry.folders, entry.runs, n_members=max(1, len(entry.seeds)), n_expected=entry.n_expected
            )
        except DamagedError:    # the figures of answers say so
            continue
        if not found:
            continue
        alone, own = found["members"], found[BY[0]]
        low, high = own[metric]["interval"]
        counts = f"{found['least']}/{found['n_members']}"
        if note := ensemble_note(found):
            notes.append(f" `{label}`: {note}; the members' mean is of the same runs.")
        rows.append([
            label, counts, unit.number(alone[metric]), unit.number(own[metric]["mean"]),
            unit.change(own[metric]["gain"]), f"{unit.change(low)} to {unit.change(high)}" if low == low else "–",
            f"{alone['nll']:.3f}", f"{own['nll']['mean']:.3f}", percent(alone["ece"]), percent(own["ece"]["mean"]),
        ])  # fmt: skip
    if rows:
        head = [
            "ensemble of seeds", "members", unit.head("members' mean"), unit.head("ensemble"),
            unit.change_head("gain"), "95 % interval",
            "nll of members", "nll", "ece of members %", "ece %",
        ]  # fmt: skip
        told = (
            f"Seeds of one split answer together, by mean {BY[0]}; gain over the mean of the members, paired over "
            "subjects (Student's t). Not part of the tests, which are of single runs. nll and ece are "
            f"means over splits; {ECE_OF_FEW}." + "".join(notes)
        )
        yield Table(head, rows, told)
