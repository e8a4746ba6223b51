"""What each part of `sttransformer` is worth: one part changed at a time, on the subjects that chose the defaults.

``benchmark.py ablation --folder DIR`` trains every variant on every set that is on disk (``simulated`` always), five
seeds each; variants can be named (``spatial_off norm_rms``), and so can ``seeds=2``, ``sets=ssvep_exo,mi_openbci`` and
``protocols=cross_subject,cross_run``. What DIR holds already is not trained again. The table is written after each
variant: rows that it had stay if the default still scores what it scored then, and so does what stands below it under
headings. ``ssvep_exo`` and ``physionet_mi`` need MNE_DATA, ``mi_openbci`` its folder in EEGDECODE_TEST_DATA.

Across subjects networks learn from all, as those that are confirmed do, and are judged on the subjects that choose:
with fewer to learn from, other settings win (patches of 2 s gained with three people of ``mi_openbci`` and lost 6
points with eight). ``simulated`` has as many people as one likes: those of seed 1 choose, those of seed 0 confirm.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.table import markdown, with_earlier
from benchmarks.tasks import run_door

OUT, ROWS = Path("notebooks/benchmarks"), "## Every row"
SEEDS = 5
SETS = {
    "simulated seed 1 cross_subject": [
        "dataset=simulated", "dataset.seed=1", "dataset.n_subjects=9", "protocol=cross_subject",
        "protocol.tested=[1,2,3,4,5,6]",
    ],
    "ssvep_exo cross_subject": [
        "dataset=ssvep_exo", "dataset.subjects=[1,2,3,4,5,6,7,8,9,10,11]", "protocol=cross_subject",
        "protocol.duplicates=drop", "protocol.tested=[1,2,3,4,5,6]",
    ],
    "mi_openbci cross_subject": [
        "dataset=mi_openbci", "protocol=cross_subject", "protocol.tested=['02','03','04','05']",
    ],
    "simulated seed 1 cross_session": [
        "dataset=simulated", "dataset.seed=1", "dataset.n_subjects=9", "dataset.subjects=[1,2,3,4,5,6]",
        "protocol=cross_session",
    ],
    "ssvep_exo cross_run": ["dataset=ssvep_exo", "dataset.subjects=[1,2,3,4,5,6]", "protocol=cross_run"],
    "mi_openbci leave_one_session_out": [
        "dataset=mi_openbci", "dataset.subjects=['02','03','04','05']", "protocol=leave_one_session_out",
    ],
    "ssvep_exo within_session": ["dataset=ssvep_exo", "dataset.subjects=[1,2,3,4,5,6]", "protocol=within_session"],
    "mi_openbci within_session": [    # three folds: 240 runs, not 400
        "dataset=mi_openbci", "dataset.subjects=['02','03','04','05']", "protocol=within_session", "protocol.folds=3",
    ],
    "physionet_mi within_session": ["dataset=physionet_mi", "dataset.subjects=[1]", "protocol=within_session"],
}    # fmt: skip
GROUPS = {    # mean -> the protocols of its three cells
    "mean across subjects": ["cross_subject"],
    "on later recordings": ["cross_session", "cross_run", "leave_one_session_out"],
    "within a session": ["within_session"],
}    # fmt: skip
# On two cores, of three ways the fastest; a GPU has its own.
STACKED = [] if torch.cuda.is_available() else ["trainer.ensemble=vectorise", "trainer.stack=8", "device=[cpu,cpu]"]
VARIANTS = {
    "default": [],
    "spatial_off": ["model.spatial=off"], "spatial_noop": ["model.spatial=noop"],
    "spatial_signals": ["model.spatial=signals"],
    "spatial_2_heads": ["model.spatial_heads=2"], "spatial_4_heads": ["model.spatial_heads=4"],
    "divided": ["model.spatial=interleaved", "model.block.kernel=softmax"],
    "recentre_spatial_off": ["frontend=recentre", "model.spatial=off"],
    "recentre_spatial_signals": ["frontend=recentre", "model.spatial=signals"],
    "kernel_softmax": ["model.block.kernel=softmax"], "kernel_linear": ["model.block.kernel=linear"],
    "pool_mean": ["model.pool=mean"], "pool_cosine": ["model.pool=cosine"],
    "pool_mean_kernel_softmax": ["model.pool=mean", "model.block.kernel=softmax"],
    "position_off": ["model.position=none"], "position_sinusoidal": ["model.position=sinusoidal"],
    "csp": ["frontend=csp"], "csp_spatial_off": ["frontend=csp", "model.spatial=off"],
    "zscore": ["frontend=zscore"], "zscore_spatial_off": ["frontend=zscore", "model.spatial=off"],
    "norm_layer": ["model.block.norm=layer"], "norm_rms": ["model.block.norm=rms"],
    "norm_post": ["model.block.order=post"],
    "depth_2": ["model.depth=2"], "depth_3": ["model.depth=3"],
    "width_40": ["model.width=40"], "width_120": ["model.width=120"],
    "patch_0.5": ["model.patch=0.5", "model.stride=0.25"], "patch_2": ["model.patch=2"],
    "stride_0.25": ["model.stride=0.25"],
    "windows_2": ["+model.stem_options.windows=2"], "windows_both": ["+model.stem_options.windows=[1,2]"],
    "stem_conv": ["model.stem=conv"], "stem_linear": ["model.stem=linear"],
    "feed_gated": ["model.block.feed=gated"], "skip_0.2": ["model.block.skip=0.2"],
    "augment_snr": ["augment=snr"], "smoothing_0": ["trainer.label_smoothing=0"], "drop_0.25": ["model.drop=0.25"],
    "updates_250": ["trainer.updates=250"], "updates_1000": ["trainer.updates=1000"],
}    # fmt: skip


def measure_ablation(folder: Path, *words: str) -> None:
    """Train what is missing and write ``ablation.csv`` and ``ablation.md``."""
    options = {"seeds": str(SEEDS), "sets": "", "protocols": ""}
    options |= {key: value for key, _, value in (word.partition("=") for word in words) if key in options}
    names, seeds = [word for word in words if "=" not in word] or list(VARIANTS), int(options["seeds"])
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise SystemExit(f"no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    places = [place for place in on_disk() if _asked(place, options)]
    if not places:
        asked = f"sets={options['sets']} protocols={options['protocols']}"
        raise SystemExit(f"none of the sets here is of {asked}; there are {', '.join(on_disk())}")
    rows, default = [], {}
    for name in dict.fromkeys(["default", *names]):
        for place in places:
            out = folder / place.replace(" ", "_") / f"{name}_{seeds}"
            scores = train(out, place, "model=sttransformer", *VARIANTS[name], f"sweep.seeds={seeds}", *STACKED)
            default.setdefault(place, scores)
            rows.append(_row(place, name, scores, default[place]))
        _write(rows, seeds)


def _asked(place: str, options: dict[str, str]) -> bool:
    words = place.split()
    return all(
        not options[key] or word in options[key].split(",")
        for key, word in (("sets", words[0]), ("protocols", words[-1]))
    )


def _write(rows: list[dict], seeds: int) -> None:
    table, text = _with_earlier(pd.DataFrame(rows)), OUT / "ablation.md"
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "ablation.csv", index=False)
    _, heading, said = (text.read_text() if text.exists() else "").partition("\n## ")
    lines = [
        "# What each part of sttransformer is worth",
        f"Mean test accuracy in %, {seeds} seed(s), the last epoch, `trainer.validation=0`, on the subjects "
        "that chose the defaults, across subjects learned from all others: a choice among these numbers is not a "
        "result. Made by `python scripts/benchmark.py ablation --folder DIR`; what each name stands for: "
        "`scripts/benchmarks/ablation.py`.",
        "The default minus the variant, in points: positive where the default is better. In the end the means, each of "
        "three cells and empty where not all were measured.",
        markdown(_worth(table)),
        (heading + said.partition(f"\n{ROWS}")[0]).strip(),
        ROWS,
        "*difference*: to the default, mean and deviation over subjects; *calibration error*: the expected one in %, "
        "mean over runs.",
        markdown(table),
    ]
    text.write_text("\n\n".join(line for line in lines if line) + "\n")


def _worth(table: pd.DataFrame) -> pd.DataFrame:
    """One row a variant, one column a set and protocol: the default minus the variant."""
    others = table[table["variant"] != "default"]
    points = -others["difference"].str.split().str[0].astype(float)
    worth = others.assign(points=points).pivot_table(index="variant", columns="set", values="points")
    worth = worth.sort_index(key=lambda names: names.map(_order))[[place for place in SETS if place in worth]]
    groups = {of: [place for place in SETS if place in worth and place.split()[-1] in GROUPS[of]] for of in GROUPS}
    means = {of: worth[places].mean(axis=1, skipna=False) for of, places in groups.items()}
    return worth.assign(**means).map(_signed).reset_index()


def _signed(points: float) -> str:
    if np.isnan(points):
        return ""
    return f"{points:+.1f}" if round(points, 1) else "0.0"


def _with_earlier(table: pd.DataFrame) -> pd.DataFrame:
    what = {"where": ["set"], "name": "variant", "reference": "default", "score": "by_subject"}
    table = with_earlier(table, OUT / "ablation.csv", **what)
    return table.sort_values(["set", "variant"], key=lambda names: names.map(_order), kind="stable")


def _order(name: str) -> int:
    return [*SETS, *VARIANTS].index(name)


def on_disk() -> list[str]:
    """Sets that can be read here."""
    downloads = "MNE_DATA" in os.environ
    here = {
        "simulated": True, "ssvep_exo": downloads, "physionet_mi": downloads, "mi_openbci": _mi_openbci().is_dir(),
    }    # fmt: skip
    return [place for place in SETS if here[place.split()[0]]]


def _mi_openbci() -> Path:
    return Path(os.environ.get("EEGDECODE_TEST_DATA", "data/raw")) / "mi_openbci"


def train(out: Path, place: str, *words: str) -> pd.DataFrame:
    """Scores of a variant on one of `SETS`, by `train.py` as users type it."""
    return typed(out, *SETS[place], *where(place), *words)


def where(place: str) -> list[str]:
    """Where the files of a set are, as it is typed."""
    return [f"dataset.folder={_mi_openbci().resolve()}"] if place.startswith("mi_openbci") else []


def typed(out: Path, *words: str) -> pd.DataFrame:
    """Scores of all runs of a command, of which every training trial is learned from unless it says otherwise.

    Without the store of finished runs: one that another experiment trained in another stack had other dropout, and
    would be no run of this command, typed again.
    """
    run_door("train.py", "trainer.validation=0", "run_store=null", *words, f"out_dir={out}")
    return pd.read_csv(out / "scores.csv", dtype={"subject": str})


def _difference(points: pd.Series) -> str:
    return f"{points.mean():+.1f}" + (f" ± {points.std():.1f}" if len(points) > 1 else "")


def _row(place: str, name: str, scores: pd.DataFrame, default: pd.DataFrame) -> dict:
    mine, theirs = (100 * each.groupby("subject")["test_accuracy"].mean() for each in (scores, default))
    difference = mine - theirs
    row = {
        "set": place, "variant": name, "accuracy": round(mine.mean(), 1),
        "by_subject": " ".join(f"{each:.0f}" for each in mine),
        "difference": _difference(difference) if name != "default" else "",
        "calibration_error": round(100 * scores["test_ece"].mean(), 1),
        "parameters": int(scores["n_params"].iloc[0]), "seconds_a_run": round(scores["seconds"].median(), 1),
    }    # fmt: skip
    print(row, flush=True)
    return row
