from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from eegdecode.reporting.comparison.figures import draw_subjects
from eegdecode.reporting.comparison.figures_answers import draw_confusions
from eegdecode.reporting.comparison.gallery import save_light
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.style import save, styled
from eegdecode.reporting.units import unit_of


def test_a_light_figure_has_the_colours_of_the_full_one(tmp_path: Path) -> None:
    """Many blue cells leave few colours for the few grey letters beside them."""
    labels = np.arange(400) % 4
    rng = np.random.default_rng(0)
    answers = {f"m{i}": (rng.normal(0.3 * i * np.eye(4)[labels]), labels) for i in range(9)}
    with styled():
        save(draw_confusions(answers, "abcd"), tmp_path / "full.png")
        save_light(draw_confusions(answers, "abcd"), tmp_path / "light.png")
    full, light = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), int) for name in ("full", "light"))
    assert np.abs(full - light).max() < 25
    assert (tmp_path / "light.png").stat().st_size < 0.5 * (tmp_path / "full.png").stat().st_size


def test_a_figure_writes_means_as_the_tables_do() -> None:
    scores = pd.DataFrame({"a": np.array([36, 65, 41, 46]) / 80})    # 58.75 %, whose last bit decides
    comparison = Comparison("toy", "cross_run", "accuracy", {})
    vars(comparison).update(scores=scores, chance=(0.25, 0.3))    # cached properties
    texts = [text.get_text() for text in draw_subjects(comparison).axes[0].texts]
    assert unit_of("accuracy").number(scores["a"].mean()) in texts
