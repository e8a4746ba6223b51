"""What an experiment did, in sentences: shared by the last screen and the report."""

from __future__ import annotations

from typing import Any

from eegdecode.reporting.ensembles import BY, ensemble_note
from eegdecode.reporting.results import Results

PROTOCOLS = {
    "within_session": "Trained and tested on trials of the same session and subject (k folds).",
    "cross_session": "Trained on some sessions of a subject, tested on other sessions of the same subject.",
    "leave_one_session_out": "Tested on each session of a subject after training on all others, also later ones.",
    "last_two_sessions": "Trained on the earlier sessions of a subject, tested on its last two.",
    "cross_run": "Trained on some runs of a subject, tested on another run of the same subject.",
    "pooled": "Trained and tested on trials of the same sessions of one subject, pooled and shuffled (k folds).",
    "pooled_one_split": "Trained and tested on the same sessions of one subject, pooled: one random split.",
    "cross_subject": "Tested on subjects of whom no trial was used in training.",
    "calibration": "Tested on a subject's last session or run; of its trials before, at most a few were learned from.",
}
SELECT = {
    "last": "The weights are those of the last epoch: nothing chose an epoch.",
    "patience": "The weights are those of the last epoch; when to stop was chosen on validation trials.",
    "best_val": "The epoch was chosen on validation trials, taken from the training side.",
}


def describe_setting(results: Results) -> str:
    """Model and data set in words, and the setting of swept numbers that is shown."""
    row = results.scores.iloc[0] if len(results.scores) else {"model": "?", "dataset": "?"}
    setting = results.summary.get("setting") or {}
    numbers = "".join(f", {name} = {value:g}" for name, value in setting.items())
    return f"{row['model']} on {row['dataset']}{numbers}"


def percent(value: float | None) -> str:
    """A fraction as per cent, a dash where there is none."""
    return "–" if value is None or value != value else f"{100 * value:.1f}"


def mean_sentence(summary: dict[str, Any]) -> str:
    """Mean, deviations, interval and counts in one line; says so where runs are missing."""
    if summary["setting"] is None:
        return f"Several settings, and no validation trials to choose one by: no mean ({_counts(summary)})"
    if not summary["setting_done"]:
        return f"No run is finished (0/{summary['n_expected']})."
    low, high = summary["interval"]
    text = f"{percent(summary['mean'])} %"
    if summary["n_subjects"] > 1:
        together = any("+" in str(row["subject"]) for row in summary["subjects"])
        who = "groups of subjects" if together else "subjects"
        text += f" ± {percent(summary['deviation_subjects'])} over {summary['n_subjects']} {who}"
        text += f" (95 % interval of the mean {percent(low)} to {percent(high)})"
    if summary["deviation_seeds"] == summary["deviation_seeds"]:
        text += f", ± {percent(summary['deviation_seeds'])} over {summary['n_seeds']} seeds"
    done, expected = summary["setting_done"], summary["setting_expected"]
    return f"{text}; {done}/{expected} runs{'' if done == expected else ': INCOMPLETE, the mean will change'}"


def chance_sentence(summary: dict[str, Any]) -> str:
    """Chance and the score that guessing rarely exceeds."""
    if not summary["n_test"]:
        return ""
    chance, bound = percent(summary["chance"]), percent(summary["chance_bound"])
    balanced = percent(summary["metrics"]["balanced_accuracy"]["mean"])
    unequal = f" Classes are unbalanced: better read the balanced accuracy, {balanced} %."
    windows, cues = summary["n_test"], summary.get("test_cues", summary["n_test"])
    trials = f"{windows} trials" if cues == windows else f"{windows} windows of {cues} cues, which count"
    return f"Chance {chance} %; guessing exceeds {bound} % in 5 % of cases ({trials})." + (
        unequal if summary["chance"] > 1.05 / len(summary["classes"]) else ""
    )


def _counts(summary: dict[str, Any]) -> str:
    return f"{summary['n_done']}/{summary['n_expected']} runs"


def protocol_sentence(results: Results) -> str:
    """The protocol in words."""
    name = protocol_name(results)
    if name.startswith("inner_"):
        inside = f"inside the training trials of {name[6:]}"
        return f"A trial of a search, {inside}: what is called test is its validation part."
    return PROTOCOLS.get(name, f"Protocol {name}.")


def protocol_name(results: Results) -> str:
    """The protocol's name, as it stands in every row."""
    return str(results.scores["protocol"].iloc[0]) if len(results.scores) else "?"


def honesty_sentences(results: Results) -> list[str]:
    """Which data chose what, and whether test trials were seen unlabelled."""
    summary = results.summary
    said = [epoch_sentence(results), "In this experiment no test trial chose an epoch, a filter or a setting."]
    if "trials" in (summary.get("setting") or {}):
        said.append("The score is that with the most target trials a class (trials); those with fewer are listed.")
    if summary.get("setting_chosen_by"):
        said.append("Several settings were tried; the one shown has the best mean validation accuracy.")
    elif summary.get("settings") and summary["setting"] is None:
        said.append("Several settings were tried; without validation trials none is preferred.")
    if summary.get("watch_test"):
        said.append("Test accuracy was followed after each epoch, for the LEAKY diagnostic below alone.")
    inductive = "Inductive: nothing was fitted on test trials, not even without their labels."
    if n_first := summary.get("first_trials"):
        inductive = (
            f"The first {n_first} trials of a new subject were used without their labels, for those after them: no "
            "trial depends on a later one, and the first ones are scored too."
        )
    return [text for text in (*said, transductive_sentence(results) or inductive) if text]


def epoch_sentence(results: Results) -> str:
    """Which data chose the epoch of the weights; empty for pipelines without epochs."""
    if not (results.scores["best_epoch"] > 0).any():
        return ""
    select = results.summary.get("select")
    return SELECT.get(str(select), f"The epoch of the weights was chosen by: {select or 'not noted'}.")


def leak_sentence(summary: dict[str, Any]) -> str:
    """What the best test epoch would have given, said loudly; empty where test accuracy was not followed."""
    leak = summary.get("leak")
    if not leak or leak["leaky"] != leak["leaky"]:
        return ""
    points = percent(leak["leaky"] - leak["honest"])
    return (
        f"LEAKY, NOT A RESULT: the best test epoch of each run would give {percent(leak['leaky'])} %, {points} points "
        "more than the score, by choosing on test trials."
    )


def transductive_sentence(results: Results) -> str:
    """A warning where unlabelled test trials were used; else empty."""
    if not results.scores["transductive"].any():
        return ""
    return "TRANSDUCTIVE: unlabelled test trials were used to align the data or the network's batch norm."


def ensemble_sentence(summary: dict[str, Any]) -> str:
    """What the seeds reach together, and how far that is calibrated; empty with one seed."""
    ensemble = summary.get("ensemble")
    if not ensemble:
        return ""
    ours, alone = ensemble[BY[0]], ensemble["members"]
    gain, (low, high) = ours["accuracy"]["gain"], ours["accuracy"]["interval"]
    sure = f" (95 % interval {100 * low:+.1f} to {100 * high:+.1f})" if low == low else ""
    note = ensemble_note(ensemble)
    return (
        f"Ensemble of {ensemble['n_members']} seeds, mean {BY[0]}: {percent(ours['accuracy']['mean'])} %, "
        f"{100 * gain:+.1f} points{sure} against the mean of its members; "
        f"nll {ours['nll']['mean']:.2f} (members {alone['nll']:.2f}), "
        f"ece {percent(ours['ece']['mean'])} % ({percent(alone['ece'])} %)." + (f" {note}." if note else "")
    )
