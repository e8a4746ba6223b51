import json
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.fakes import FakeDataset, make_raw, make_recording

from eegdecode.data import cache as cache_module
from eegdecode.data.cache import Cache
from eegdecode.data.files import FileDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.shelf import check

ONE = FakeDataset(subjects=("1",))


def entries(folder):
    return sorted(path for path in (folder / "fake").glob("sub-*") if path.is_dir())


@pytest.fixture
def no_reading(monkeypatch):
    monkeypatch.setattr(FakeDataset, "recordings", lambda self, subject: pytest.fail("read again"))


def test_the_second_time_comes_from_the_cache_unchanged(tmp_path, request):
    first = load_trials(FakeDataset(), Preprocess(l_freq=4), cache_dir=tmp_path)
    request.getfixturevalue("no_reading")
    again = load_trials(FakeDataset(), Preprocess(l_freq=4), cache_dir=tmp_path)
    np.testing.assert_array_equal(first.X, again.X)
    assert first.meta.equals(again.meta)
    assert list(first.meta.dtypes) == list(again.meta.dtypes)
    np.testing.assert_array_equal(first.signal.positions, again.signal.positions)
    assert again.signal.matches(first.signal)
    assert (first.fingerprints, first.classes) == (again.fingerprints, again.classes)


def test_one_subject_stays_on_disk(tmp_path):
    trials = load_trials(ONE, Preprocess(), cache_dir=tmp_path)
    assert isinstance(trials.X, np.memmap)
    assert not trials.X.flags.writeable


def test_the_place_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EEGDECODE_CACHE", str(tmp_path / "elsewhere"))
    load_trials(ONE, Preprocess())
    assert entries(tmp_path / "elsewhere")


def test_entries_serve_any_selection_of_subjects(tmp_path, request):
    load_trials(FakeDataset(subjects=None), Preprocess(), cache_dir=tmp_path)
    request.getfixturevalue("no_reading")
    assert len(load_trials(FakeDataset(subjects=("3",)), Preprocess(), cache_dir=tmp_path)) == 8


OTHERS = {
    "channels": ["C3", "Cz"], "reference": "average", "l_freq": 1.0, "h_freq": 30.0, "method": "fir",
    "sfreq": 50.0, "tmin": 0.5, "tmax": 1.5, "standardise": "trial", "incomplete": "drop",
    "names": "standard", "bads": "auto", "bipolar": [["C3", "Cz"]], "spatial": "laplacian", "notch": 50, "reject": 100,
    "factor_new": 0.01, "init_block": 1, "annotated": "keep",
}  # fmt: skip


@pytest.mark.parametrize("setting", OTHERS)
def test_every_setting_has_entries_of_its_own(setting):
    assert set(OTHERS) == set(Preprocess.__dataclass_fields__)
    one, other = Preprocess(), Preprocess(**{setting: OTHERS[setting]})
    assert Cache(ONE, one).path("1") != Cache(ONE, other).path("1")


@pytest.mark.parametrize("change", [{"seed": 1}, {"interval": (0.0, 1.0)}, {"classes": ("right", "left")}])
def test_every_field_of_the_data_set_has_entries_of_its_own(change):
    assert Cache(ONE, Preprocess()).path("1") != Cache(replace(ONE, **change), Preprocess()).path("1")


def test_classes_in_another_order_are_other_labels(tmp_path):
    """They are those of ``events``, in the order in which these are typed."""
    one, other = (
        FileDataset(name="mine", folder=tmp_path, pattern="{subject}.fif", events=events)
        for events in ({"l": "left", "r": "right"}, {"r": "right", "l": "left"})
    )
    make_raw().save(tmp_path / "1_raw.fif", verbose="error")
    (tmp_path / "1_raw.fif").rename(tmp_path / "1.fif")
    assert Cache(one, Preprocess()).path("1") != Cache(other, Preprocess()).path("1")


def test_versions_and_source_have_entries_of_their_own(monkeypatch):
    before = Cache(ONE, Preprocess()).path("1")
    monkeypatch.setattr(cache_module, "source_digest", lambda: "edited")
    edited = Cache(ONE, Preprocess()).path("1")
    monkeypatch.setattr(cache_module.importlib.metadata, "version", lambda name: "99")
    assert len({before, edited, Cache(ONE, Preprocess()).path("1")}) == 3


@pytest.mark.parametrize("library", ["mne", "mne-bids", "moabb", "numpy", "scipy"])
def test_each_library_that_reads_or_computes_counts(library, monkeypatch):
    before, known = Cache(ONE, Preprocess()).path("1"), cache_module.importlib.metadata.version
    monkeypatch.setattr(
        cache_module.importlib.metadata, "version", lambda name: "99" if name == library else known(name)
    )
    assert Cache(ONE, Preprocess()).path("1") != before


@dataclass(frozen=True)
class OnDisk(FakeDataset):
    folder: str = ""

    def files(self, subject):
        return tuple(sorted(Path(self.folder).glob(f"{subject}*")))


def test_changed_or_added_files_have_entries_of_their_own(tmp_path):
    def path():
        return Cache(OnDisk(folder=str(tmp_path)), Preprocess()).path("1")

    (tmp_path / "1_a").write_text("x")
    paths = [path()]
    (tmp_path / "1_a").write_text("xy")
    paths.append(path())
    (tmp_path / "1_b").write_text("x")
    paths.append(path())
    (tmp_path / "2_a").write_text("x")
    assert path() == paths[-1]
    assert len(set(paths)) == 3


def truncate(entry):
    with (entry / "X.npy").open("rb+") as file:
        file.truncate(1000)


def edit_labels(entry):
    text = (entry / "meta.csv").read_text()
    (entry / "meta.csv").write_text(text.replace(",0,", ",1,", 1))


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        edit_labels,
        lambda entry: (entry / "X.npy").unlink(),
        lambda entry: (entry / "entry.json").write_text('{"shape": ['),
        lambda entry: (entry / "entry.json").write_text(json.dumps({})),
        lambda entry: (entry / "entry.json").write_text("[]"),
        lambda entry: [file.unlink() for file in entry.iterdir()],
    ],
)
def test_damaged_entries_are_noticed_and_made_anew(tmp_path, damage, caplog, request):
    good = load_trials(ONE, Preprocess(), cache_dir=tmp_path)
    X, meta = np.array(good.X), good.meta
    del good
    damage(entries(tmp_path)[0])
    again = load_trials(ONE, Preprocess(), cache_dir=tmp_path)
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.X, X)
    assert again.meta.equals(meta)
    request.getfixturevalue("no_reading")
    load_trials(ONE, Preprocess(), cache_dir=tmp_path)


def test_a_full_disk_costs_a_warning_and_leaves_nothing(tmp_path, monkeypatch):
    def save(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module.np, "save", save)
    with pytest.warns(RuntimeWarning, match="No space left on device.*EEGDECODE_CACHE"):
        trials = load_trials(ONE, Preprocess(), cache_dir=tmp_path)
    assert len(trials) == 8
    assert [path.name for path in (tmp_path / "fake").iterdir()] == [".locks"]


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        trials = load_trials(ONE, Preprocess(), cache_dir=tmp_path / "file")
    assert len(trials) == 8


class Slow(FakeDataset):
    """Marks each reading in a file, and takes its time."""

    def recordings(self, subject):
        with Path(os.environ["MARKS"]).open("a") as file:
            file.write(f"{subject}\n")
        time.sleep(0.5)
        return super().recordings(subject)


class Lazy(Slow):
    def recordings(self, subject):
        yield from super().recordings(subject)


def prepare_lazily(folder):
    load_trials(Lazy(), Preprocess(), cache_dir=folder)


def start(target, folder):
    process = multiprocessing.get_context("fork").Process(target=target, args=(folder,))
    process.start()
    return process


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_prepare_each_subject_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    processes = [start(prepare_lazily, tmp_path / "cache") for _ in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted((tmp_path / "marks").read_text().split()) == ["1", "2"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_killed_process_leaves_a_cache_that_works(tmp_path, monkeypatch, request):
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    process = start(prepare_lazily, tmp_path / "cache")
    while not (tmp_path / "marks").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    leftover = Cache(Lazy(), Preprocess(), tmp_path / "cache").path("1")
    partial = leftover.with_name(f".{leftover.name}.partial")
    partial.mkdir(parents=True)    # as if it had been killed while it wrote
    (partial / "X.npy").write_text("half")
    load_trials(Lazy(), Preprocess(), cache_dir=tmp_path / "cache")
    assert len(entries(tmp_path / "cache")) == 2
    assert not partial.exists()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_at_once_one_of_them_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    doomed = start(prepare_lazily, tmp_path / "cache")
    while not (tmp_path / "marks").exists():
        time.sleep(0.01)
    other = start(prepare_lazily, tmp_path / "cache")    # waits for the lock that the first one holds
    time.sleep(0.1)
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.join(60)
    other.join(60)
    assert other.exitcode == 0
    assert (tmp_path / "marks").read_text().split().count("1") == 2    # begun by both, finished by one
    assert len(entries(tmp_path / "cache")) == 2
    assert len(check(tmp_path / "cache")) == 0
    right = load_trials(FakeDataset(), Preprocess(), cache_dir=tmp_path / "right")
    cached = load_trials(Lazy(), Preprocess(), cache_dir=tmp_path / "cache")
    assert cached.fingerprints == right.fingerprints
    np.testing.assert_array_equal(cached.X, right.X)


def test_several_processes_prepare_what_one_does(tmp_path, request):
    alone = load_trials(FakeDataset(), Preprocess(), cache_dir=tmp_path / "a")
    together = load_trials(FakeDataset(), Preprocess(), cache_dir=tmp_path / "b", n_jobs=2)
    np.testing.assert_array_equal(alone.X, together.X)
    request.getfixturevalue("no_reading")
    load_trials(FakeDataset(), Preprocess(), cache_dir=tmp_path / "b", n_jobs=2)


def test_an_error_in_a_process_is_told_as_in_one(tmp_path):
    with pytest.raises(ValueError, match=r"fake 1 run 0: no channel T9|fake 2 run 0: no channel T9"):
        load_trials(FakeDataset(), Preprocess(channels=["T9"]), cache_dir=tmp_path, n_jobs=2)


@dataclass(frozen=True)
class FromServer(FakeDataset):
    folder: str = ""

    def fetched(self, subject):
        return (Path(self.folder) / f"{subject}.mat",)


def test_a_fetched_file_that_was_replaced_is_noticed_and_one_that_is_gone_is_not_missed(tmp_path, request, caplog):
    file = tmp_path / "1.mat"
    file.write_text("first edition")
    dataset, cache = FromServer(subjects=("1",), folder=str(tmp_path)), tmp_path / "cache"
    load_trials(dataset, Preprocess(), cache_dir=cache)
    file.write_text("second edition")
    assert Cache(dataset, Preprocess(), cache).load("1") is None
    assert f"{file} has changed since" in caplog.text
    load_trials(dataset, Preprocess(), cache_dir=cache)
    file.unlink()
    request.getfixturevalue("no_reading")
    assert len(load_trials(dataset, Preprocess(), cache_dir=cache)) == 8


@dataclass(frozen=True)
class Caps(FromServer):
    """Each subject's channels stand in its file."""

    def recordings(self, subject):
        (file,) = self.fetched(subject)
        for run in range(2):
            yield make_recording(make_raw(channels=file.read_text().split(), seed=run), subject=subject, run=str(run))


def test_common_channels_are_looked_up_again_where_files_or_subjects_are_others(tmp_path, caplog):
    for subject, channels in (("1", "C3 Cz C4 Pz"), ("2", "C3 Cz C4"), ("3", "C3 C4")):
        (tmp_path / f"{subject}.mat").write_text(channels)

    def common(*subjects):
        mine = Caps(subjects=subjects, folder=str(tmp_path))
        return load_trials(mine, Preprocess(channels="common"), cache_dir=tmp_path / "cache").signal.ch_names

    assert common("1", "2", "3") == ("C3", "C4")
    assert common("1", "2") == ("C3", "Cz", "C4")
    (tmp_path / "2.mat").write_text("C3 C4 Cz Pz")    # a second edition
    assert common("1", "2") == ("C3", "Cz", "C4", "Pz")
    (tmp_path / "1.mat").write_text("Pz C3")
    assert common("1", "2") == ("Pz", "C3")
    assert "channels_" not in caplog.text
