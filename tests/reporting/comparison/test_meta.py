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
