from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eegdecode.reporting.comparison.meta import combine_sets, one_sided, stouffer


def make_tables(*counts: int, shift: float = 0.03) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    tables = {}
    for number, n in enumerate(counts):
        base = rng.normal(0.6, 0.1, n)
        columns = {"a": base + rng.normal(shift, 0.05, n), "b": base, "c": base + rng.normal(-shift, 0.05, n)}
        tables[f"set{number}"] = pd.DataFrame(columns, index=[str(i) for i in range(n)])
    return tables


@pytest.mark.parametrize("counts", [(6, 9, 12), (24, 40), (8, 30)])
def test_it_is_moabbs_meta_analysis(counts: tuple[int, ...]) -> None:
    moabb = pytest.importorskip("moabb.analysis.meta_analysis")
    tables = make_tables(*counts)
    long = pd.concat([t.rename_axis("subject").reset_index().assign(dataset=name) for name, t in tables.items()])
    long = long.melt(["dataset", "subject"], var_name="pipeline", value_name="score")
    p, smd = moabb.find_significant_differences(moabb.compute_dataset_statistics(long))
    ours = combine_sets(tables)
    assert len(ours) == 3
    for row in ours.itertuples():
        assert row.p / 2 == pytest.approx(p.loc[row.a, row.b], rel=1e-9)
        assert row.smd == pytest.approx(smd.loc[row.a, row.b])


def test_only_sets_with_both_models_count() -> None:
    tables = make_tables(6, 7, 8)
    tables["set0"] = tables["set0"].drop(columns="c")
    rows = combine_sets(tables).set_index(["a", "b"])
    assert rows.loc[("a", "b"), "n_subjects"] == 21
    assert rows.loc[("a", "c"), "sets"] == 2
    assert combine_sets({"set0": tables["set0"]}).empty


def test_one_sided_p_of_exact_and_random_signs() -> None:
    assert one_sided(np.arange(1.0, 7)) == pytest.approx(1 / 2**6)
    assert one_sided(-np.arange(1.0, 7)) == pytest.approx((2**6 - 1) / 2**6)    # 1 has no z value
    assert one_sided(np.zeros(5)) == 0.5
    assert 0 < one_sided(np.arange(1.0, 18)) < 1e-4


def test_stouffer_by_hand() -> None:
    z = (2 * stats.norm.isf(0.1) + 3 * stats.norm.isf(0.02)) / np.sqrt(13)
    assert stouffer(np.array([0.1, 0.02]), np.array([4, 9])) == pytest.approx(stats.norm.sf(z))


@pytest.mark.parametrize("seed", range(8))
def test_neither_the_order_of_models_nor_of_sets_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)    # few subjects and ties: the two one-sided p values overlap
    tables = {name: pd.DataFrame(rng.integers(0, 4, (6, 2)) / 4, columns=["a", "b"]) for name in ("one", "two")}
    plain, swapped, reordered = (
        combine_sets(each).iloc[0]
        for each in (tables, {k: t[["b", "a"]] for k, t in tables.items()}, dict(reversed(tables.items())))
    )
    assert swapped["p"] == pytest.approx(plain["p"]) == pytest.approx(reordered["p"])
    if plain["smd"]:
        assert (plain["a"], plain["b"]) == (swapped["a"], swapped["b"])


def test_a_mean_that_two_subjects_make_is_no_evidence_against_the_ranks_of_all_others() -> None:
    d = np.r_[-np.arange(1, 19) / 1000, 0.9, 0.8]
    assert one_sided(d) == pytest.approx(stats.wilcoxon(d, alternative="greater").pvalue)
    tables = {name: pd.DataFrame({"a": 0.5 + d, "b": 0.5}) for name in ("one", "two")}
    row = combine_sets(tables).iloc[0]
    assert (row["a"], row["p"]) == ("a", 1.0)
