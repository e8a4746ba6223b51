import mne
import numpy as np
from tests.data.fakes import make_raw

from eegdecode.data.cues import all_marks, cues_from_annotations, cues_from_stim, has_stim_channel


def test_annotations_that_are_named_and_no_others():
    raw = make_raw()
    raw.set_annotations(mne.Annotations([30.0, 5.0, 10.0, 20.0], 0, ["right", "left", "blink", "T2"]))
    classes = {"left": "left", "right": "right", "T2": "right", "no": "left"}
    onsets, labels = cues_from_annotations(raw, classes)
    assert list(onsets) == [500, 2000, 3000]
    assert list(labels) == ["left", "right", "right"]
    assert len(cues_from_annotations(raw, {"other": "left"})[0]) == 0


def test_cues_count_from_the_first_sample_of_a_cropped_recording():
    raw = make_raw()
    raw.set_annotations(mne.Annotations([30.0], 0, ["left"]))
    raw.crop(tmin=10.0)
    assert list(cues_from_annotations(raw, {"left": "left"})[0]) == [2000]


def with_stim(codes):
    raw = make_raw()
    stim = np.zeros((1, raw.n_times))
    for onset, code in codes.items():
        stim[0, onset : onset + 50] = code
    info = mne.create_info(["STI"], 100.0, "stim")
    return raw.add_channels([mne.io.RawArray(stim, info, verbose="error")], force_update_info=True)


def test_a_stim_channel_that_holds_its_state_has_a_cue_at_every_change():
    raw = make_raw()
    stim = np.zeros((1, raw.n_times))
    stim[0, 500:1500], stim[0, 1500:2500], stim[0, 2500:3000] = 2, 1, 2    # 2 to 1 without zero between
    raw.add_channels([mne.io.RawArray(stim, mne.create_info(["STI"], 100.0, "stim"), verbose="error")],
                     force_update_info=True)    # fmt: skip
    onsets, labels = cues_from_stim(raw, {1: "closed", 2: "open"})
    assert list(onsets) == [500, 1500, 2500]
    assert list(labels) == ["open", "closed", "open"]
    assert list(all_marks(raw, stim=True)) == [500, 1500, 2500]


def test_stim_codes_count_where_they_rise():
    raw = with_stim({500: 1, 1500: 7, 2500: 2})
    onsets, labels = cues_from_stim(raw, {1: "left", 2: "right"})
    assert list(onsets) == [500, 2500]
    assert list(labels) == ["left", "right"]
    assert list(cues_from_stim(raw.crop(tmin=10.0), {2: "right"})[0]) == [1500]
    assert has_stim_channel(raw)
    assert not has_stim_channel(make_raw())
