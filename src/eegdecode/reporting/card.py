"""The data card: what a data set holds, as a page with figures and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from eegdecode.reporting.card_plots import draw_amplitude, draw_channels, draw_spectra
from eegdecode.reporting.disk import make_folder, write_text
from eegdecode.reporting.facts import LINE, PLAUSIBLE, Facts, Score
from eegdecode.reporting.style import save, styled

MOST = 8    # names in a list
_TOLD = {
    "mains": "channels in which the mains are loud (dB over their surroundings)",
    "mended": "interpolated channels",
    "bad": "channels that the files mark bad and that are used as they are (preprocess.bads=marked interpolates them)",
    "flat": "channels flat for seconds (share of the run)",
    "clipped": "channels held at their extreme (share of the run)",
    "missing": "channels with missing samples (share of the run)",
    "rejected": "rejected trials (loudest channel, µV peak to peak)",
    "silent": "trials dropped, in which no channel moves (s)",
    "marked": "trials dropped, which the files mark bad (s; preprocess.annotated=keep)",
    "boundary": "trials dropped, across a cut or a pause of the recording (s after the cue; preprocess.annotated=keep)",
    "overlap": "runs whose trials share samples with the one before (share of the trials)",
    "incomplete": "trials left out because they are not whole",
}


def write_card(
    folder: Path, name: str, facts: Facts, *, differs: Sequence[str] | None, guard: str, score: Score | None
) -> str:    # fmt: skip
    """Draw the figures, write ``card.md``, and return its text without the figures."""
    folder = make_folder(folder)
    with styled():
        save(draw_spectra(facts), folder / "spectra.png")
        save(draw_channels(facts), folder / "channels.png")
        save(draw_amplitude(facts), folder / "amplitude.png")
    lines = list(_lines(facts, differs, guard, score))
    figures = [
        "![Average power spectrum of each class](spectra.png)",
        "![Where the channels sit, and how large their signals are](channels.png)",
        "![Amplitude of each session](amplitude.png)",
    ]
    table = facts.counts.reset_index().to_string(index=False).splitlines()
    counts = ["## Trials by subject, session and class", "```\n" + "\n".join(table) + "\n```"]
    body = "\n".join(f"- **{what}:** {text}" for what, text in lines)
    write_text(folder / "card.md", "\n\n".join([f"# {name}", body, *figures, *counts]) + "\n")
    width = max(len(what) for what, _ in lines)
    text = "\n".join(f"{what:<{width}}  {text}" for what, text in lines)
    return f"{text}\n{'page':<{width}}  {folder / 'card.md'}"


def _lines(facts: Facts, differs: Sequence[str] | None, guard: str, score: Score | None) -> Iterator[tuple[str, str]]:
    sessions = facts.counts.reset_index()
    yield "subjects", _listed(list(dict.fromkeys(sessions["subject"].astype(str))))
    per = facts.runs.groupby("subject", sort=False)
    yield "sessions", f"{len(sessions)}, {_range(per['session'].nunique())} a subject"
    runs = facts.runs.groupby(["subject", "session"], sort=False).size()
    yield "runs", f"{len(facts.runs)}, {_range(runs)} a session, {_range(facts.runs['trials'])} trials each"
    yield "trials", f"{facts.counts.to_numpy().sum()}: " + ", ".join(f"{k} {n}" for k, n in facts.counts.sum().items())
    yield "channels", _listed(facts.ch_names)
    begin, end = facts.window
    yield "window", f"{begin:g} to {end:g} s after the cue, {facts.n_times} samples at {facts.sfreq:g} Hz"
    yield "amplitude", _amplitude(facts)
    if facts.flat or facts.missing:
        yield "trials", f"{facts.flat} have a flat channel, {facts.missing} have NaN"
    yield "line noise", _line_noise(facts.notes)
    for what, meaning in _TOLD.items():
        yield what, _told(facts.notes, what, meaning)
    yield "duplicates", _duplicates(facts.duplicates)
    yield "split", guard
    if differs is not None:    # a set of one's own has no paper
        yield "the paper", "; ".join(differs) or "no difference found from what it promises"
    yield "quick score", score.sentence() if score else "none: too few trials of a class in a session"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{len(names)}: {', '.join(names[:MOST])}{more}"


def _range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _amplitude(facts: Facts) -> str:
    raw = facts.notes[facts.notes["what"] == "amplitude"]["value"]
    now = facts.amplitude["deviation"]
    low, high = raw.quantile([0.05, 0.95]) if len(raw) else (0.0, 0.0)
    text = f"{raw.median():.3g} µV referenced, before filters ({low:.3g} to {high:.3g} over channels and runs), "
    text += f"{now.median():.3g} prepared ({now.min():.3g} to {now.max():.3g} over sessions)"
    if len(raw) and not PLAUSIBLE[0] < raw.median() < PLAUSIBLE[1]:
        text += ". NOT PLAUSIBLE as µV: wrong unit, or none"
    return text


def _line_noise(notes: pd.DataFrame) -> str:
    line = notes[notes["what"] == "line"]
    if not len(line):
        return "not measurable at this rate"
    texts = []
    for mains, rows in line.groupby("channel"):
        loud = int((rows["value"] > LINE).sum())
        texts.append(f"{mains}: {rows['value'].median():.1f} dB over its surroundings, {loud} of {len(rows)} runs loud")
    return "; ".join(texts)


def _told(notes: pd.DataFrame, what: str, meaning: str) -> str:
    rows = notes[notes["what"] == what]
    if not len(rows):
        return "none"
    places = rows["subject"].astype(str) + "/" + rows["session"].astype(str) + "/" + rows["run"].astype(str)
    worst = rows.assign(place=places).sort_values("value", ascending=False)
    shown = [f"{row.channel or row.trial} in {row.place}: {row.value:.3g}" for row in worst.head(4).itertuples()]
    busiest = places.value_counts()
    return f"{len(rows)} {meaning}, most in {busiest.index[0]} ({busiest.iloc[0]}); {', '.join(shown)}"


def _duplicates(groups: list[list[str]]) -> str:
    if not groups:
        return "none"
    shown = "; ".join(" = ".join(names) for names in groups[:3])
    return f"{sum(map(len, groups))} trials share their signal with another, in {len(groups)} groups: {shown}"
