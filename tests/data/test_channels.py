import numpy as np
import pytest
from tests.data.fakes import FakeDataset, make_raw, make_recording

from eegdecode.data.continuous import preprocess_recording
from eegdecode.data.positions import template_positions
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess

MANY = (
    "Fz", "FC3", "FC1", "FCz", "FC2", "FC4", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "CP3",
    "CP1", "CPz", "CP2", "CP4", "P1", "Pz", "P2", "POz", "Fp1", "Fp2", "T7", "T8", "O1", "O2",
)    # fmt: skip


def process(raw, **settings):
    return preprocess_recording(make_recording(raw), Preprocess(**settings))


def smooth(seed=0):
    """A field that changes slowly over the head: a dipole's, in V."""
    at = template_positions(MANY)
    direction = np.random.default_rng(seed).standard_normal((3, 6000))
    raw = make_raw(channels=MANY)
    raw._data[:] = 1e-5 * (at / np.linalg.norm(at, axis=1, keepdims=True)) @ direction
    return raw


def test_a_bad_channel_becomes_what_its_neighbours_say_and_no_other_changes():
    truth, raw = smooth(), smooth()
    at = MANY.index("CPz")
    raw._data[at] = np.random.default_rng(1).standard_normal(6000) * 1e-3
    out = process(raw, bads=["CPz"])
    others = [i for i in range(len(MANY)) if i != at]
    np.testing.assert_allclose(out.data[others], truth._data[others] * 1e6, rtol=1e-9)
    error = out.data[at] - truth._data[at] * 1e6
    assert error.std() < 0.1 * truth._data[at].std() * 1e6
    assert [note.channel for note in out.notes if note.what == "mended"] == ["CPz"]


@pytest.mark.parametrize("damage", [0.0, np.nan, "loud"])
def test_bad_channels_are_found(damage):
    raw = smooth()
    raw._data[3] = np.random.default_rng(1).standard_normal(6000) * 1e-2 if damage == "loud" else damage
    out = process(raw, bads="auto")
    assert [note.channel for note in out.notes if note.what == "mended"] == ["FCz"]
    assert np.corrcoef(out.data[3], smooth()._data[3])[0, 1] > 0.95
    assert not out.gaps
    assert not [note for note in process(smooth(), bads="auto").notes if note.what == "mended"]


def test_bipolar_channels_are_differences():
    raw = make_raw()
    out = process(raw, bipolar=[["C3", "Cz"], ["C4", "Cz"]])
    assert out.ch_names == ("C3-Cz", "C4-Cz")
    np.testing.assert_allclose(out.data[1], (raw._data[2] - raw._data[1]) * 1e6)
    np.testing.assert_allclose(out.positions[0], template_positions(("C3", "Cz")).mean(0))


def test_a_laplacian_takes_away_what_neighbours_share_and_keeps_a_local_source():
    raw = make_raw(channels=MANY)
    wave = 1e-5 * np.sin(2 * np.pi * 10 * raw.times)
    raw._data[:] = 5 * wave    # the same everywhere, as a far source
    raw._data[MANY.index("C3")] += wave
    out = process(raw, spatial="laplacian")
    np.testing.assert_allclose(out.data[MANY.index("C3")], wave * 1e6, atol=1e-6)
    assert np.abs(out.data[MANY.index("Pz")]).max() < 1e-6
    near = out.data[MANY.index("C1")]    # a neighbour loses its share, 1/4 or so
    assert 0.1 < -np.dot(near, wave * 1e6) / np.dot(wave, wave) / 1e12 < 0.5


def test_missing_samples_reach_those_that_depend_on_them_alone():
    raw = make_raw(channels=MANY)
    raw._data[MANY.index("O2"), 100:200] = np.nan
    gaps = {MANY[gap.channel] for gap in process(raw, spatial="laplacian").gaps}
    assert "O2" in gaps
    assert "Fz" not in gaps


def test_old_and_odd_names_become_those_of_the_standard():
    raw = make_raw(channels=("T3", "T5", "EEG FP1-REF", "Cz..", "FOO"))
    assert process(raw, names="standard").ch_names == ("T7", "P7", "Fp1", "Cz", "FOO")
    assert process(raw).ch_names[0] == "T3"
    at = process(raw, names="standard").positions
    known = process(make_raw(channels=("T7", "P7", "Fp1", "Cz"))).positions
    np.testing.assert_array_equal(at[:4], known)    # the template knows `Fp1`, not `EEG FP1-REF`
    assert np.isnan(at[4]).all()
    assert process(raw, names="standard", channels=["P7", "Cz"]).ch_names == ("P7", "Cz")
    with pytest.raises(ValueError, match="T3 and T7 are both T7"):
        process(make_raw(channels=("T3", "T7")), names="standard")


def test_names_that_differ_in_their_case_alone_are_two_channels():
    out = process(make_raw(channels=("a1", "A1", "Cz")))
    assert out.ch_names == ("a1", "A1", "Cz")
    assert np.isnan(out.positions[0]).all()
    np.testing.assert_array_equal(out.positions[1:], template_positions(("A1", "Cz")))


@pytest.mark.parametrize("settings", [{}, {"channels": ["Cz"]}, {"channels": "common"}])
@pytest.mark.parametrize("reference", ["average", "Cz"])
def test_a_reference_that_leaves_no_signal_is_named(tmp_path, reference, settings):
    class Single(FakeDataset):
        def recordings(self, subject):
            yield make_recording(make_raw(channels=("Cz",)), subject=subject)

    with pytest.raises(ValueError, match=rf"fake 1 run 0: preprocess.reference={reference} leaves nothing of Cz"):
        load_trials(Single(), Preprocess(reference=reference, **settings), cache_dir=tmp_path)


class Differing(FakeDataset):
    """Subject 2 has other channels, in another order."""

    def recordings(self, subject):
        channels = ("C3", "Cz", "C4", "T3") if subject == "1" else ("T7", "C4", "Pz", "C3")
        for run in range(2):
            yield make_recording(make_raw(channels=channels, seed=run), subject=subject, run=str(run))


@pytest.mark.parametrize(("names", "expected"), [(None, ("C3", "C4")), ("standard", ("C3", "C4", "T7"))])
def test_common_channels_of_all_recordings(tmp_path, names, expected, monkeypatch):
    settings = Preprocess(channels="common", names=names)
    trials = load_trials(Differing(), settings, cache_dir=tmp_path)
    assert trials.signal.ch_names == expected
    np.testing.assert_allclose(trials.X[8, 1], make_raw(seed=0, channels="abcd")._data[1, 500:700] * 1e6, rtol=1e-6)
    monkeypatch.setattr(Differing, "recordings", lambda self, subject: pytest.fail("read again"))
    assert load_trials(Differing(), settings, cache_dir=tmp_path).signal.ch_names == expected


def test_nothing_in_common(tmp_path):
    class Foreign(FakeDataset):
        def recordings(self, subject):
            yield make_recording(make_raw(channels=("C3",) if subject == "1" else ("Oz",)), subject=subject)

    with pytest.raises(ValueError, match=r"no EEG channel is common.*it has Oz, they have C3"):
        load_trials(Foreign(), Preprocess(channels="common"), cache_dir=tmp_path)
