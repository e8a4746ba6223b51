"""Checkpoints decode: the logits of a run come back from its weights, for every front end, one by one or together."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from eegdecode.identity import describe
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import CrossSession, CrossSubject
from eegdecode.reporting.disk import plain
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.align import Align
from eegdecode.training.decoder import decode
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import CSP, Identity, ZScore
from eegdecode.training.rebuild import rebuild_network
from eegdecode.trials import concatenate

MODEL = partial(EEGNet, kernel=0.1)
TRAINER = DeepTrainer(epochs=1, batch_size=32, validation=0.2, device="cpu", workers=1, preflight=False)
FRONT_ENDS = {
    "csp": CSP(n_filters=2, per_trial=True), "zscore": ZScore(per_trial=True), "none": Identity(),
    "whiten": Align(then=ZScore(per_trial=True), by=[], reference="train", own=0.5),
    "align_all": Align(), "align_first": Align(reference="first", n_first=6), "align_train": Align(reference="train"),
    "align_sessions": Align(by=["subject", "session"], metric="riemann"),
    "align_mixed": Align(by=["subject"], reference="first", n_first=6, own=0.5, then=CSP(n_filters=2)),
}    # fmt: skip


def train(trials, frontend, protocol=None, seeds=1):
    splits = (protocol or CrossSubject())(trials.meta, validation=0.2)[:1]
    runs = expand(splits, Sweep(seeds=seeds), seed=0)
    return list(TRAINER.fit(MODEL, trials, [runs], frontend=frontend, on_epoch=lambda run, row: None))


def stack(predictions):
    names = predictions[0].weights
    weights = {name: np.stack([p.weights[name] for p in predictions]) for name in names}
    return weights, {"model": predictions[0].model, "members": [p.run.seed for p in predictions]}


@pytest.mark.parametrize("protocol", [CrossSubject(), CrossSession()], ids=lambda p: p.name)
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_the_logits_of_the_run_come_back(name, protocol, make_trials):
    trials = make_trials(n_subjects=3)
    (run,) = train(trials, FRONT_ENDS[name], protocol)
    logits = decode(run.weights, {"model": run.model}, trials, device="cpu")
    assert logits.shape == (1, len(trials), 3)
    for part in ("val", "test"):
        np.testing.assert_allclose(logits[0, getattr(run.run.split, part)], run.logits[part], atol=1e-5)


def test_an_electrode_of_unknown_position_survives_the_file(make_trials):
    trials = make_trials(n_subjects=3)
    positions = np.full_like(trials.signal.positions, 0.05)
    positions[1] = np.nan
    trials = replace(trials, signal=replace(trials.signal, positions=positions))
    model = partial(STTransformer, width=8, heads=2, spatial="before", patch=0.5, stride=0.25)
    runs = expand(CrossSubject()(trials.meta, validation=0.2)[:1], Sweep(), seed=0)
    (run,) = TRAINER.fit(model, trials, [runs], frontend=ZScore(), on_epoch=print)
    written = json.loads(json.dumps(plain(run.model), allow_nan=False))    # null in place of NaN
    logits = decode(run.weights, {"model": written}, trials, device="cpu")
    np.testing.assert_allclose(logits[0, run.run.split.test], run.logits["test"], atol=1e-5)


def test_batch_norm_adapts_to_new_sessions_as_it_did_in_the_test(make_trials):
    """``trainer.adapt_norms``: the same answers, from the same statistics; with those of training they are others."""
    trials = make_trials(n_subjects=3)
    splits = CrossSubject()(trials.meta, validation=0.2)[:1]
    trainer = replace(TRAINER, adapt_norms=True)
    (run,) = trainer.fit(MODEL, trials, [expand(splits, Sweep(), seed=0)], frontend=ZScore(), on_epoch=print)
    test = run.run.split.test
    adapted = decode(run.weights, {"model": run.model}, trials)[0, test]
    np.testing.assert_allclose(adapted, run.logits["test"], atol=1e-5)
    plain = decode(run.weights, {"model": {**run.model, "adapt_norms": False}}, trials)[0, test]
    assert np.abs(plain - run.logits["test"]).max() > 0.01
    one = replace(trials, X=trials.X[test[:1]], meta=trials.meta.iloc[test[:1]].reset_index(drop=True))
    np.testing.assert_allclose(decode(run.weights, {"model": run.model}, one)[0], plain[:1], atol=1e-5)


@pytest.mark.parametrize("name", ["csp", "whiten", "align_first"])
def test_an_ensemble_gives_the_logits_of_each_member(name, make_trials):
    trials = make_trials(n_subjects=3)
    runs = train(trials, FRONT_ENDS[name], seeds=3)
    logits = decode(*stack(runs), trials, device="cpu")
    for member, run in zip(logits, runs, strict=True):
        np.testing.assert_allclose(member[run.run.split.test], run.logits["test"], atol=1e-5)


@pytest.mark.parametrize("name", ["csp", "whiten", "align_first"])
def test_trials_of_the_test_subject_alone_are_enough(name, make_trials):
    """Nothing of the training is needed beside the checkpoint."""
    trials = make_trials(n_subjects=3)
    (run,) = train(trials, FRONT_ENDS[name])
    test = run.run.split.test
    alone = replace(trials, X=trials.X[test], meta=trials.meta.iloc[test].reset_index(drop=True))
    logits = decode(run.weights, {"model": run.model}, alone, device="cpu")
    np.testing.assert_allclose(logits[0], run.logits["test"], atol=1e-5)


def test_a_subject_of_another_set_is_not_taken_for_one_of_the_training(make_trials):
    trials = make_trials(n_subjects=3)
    (run,) = train(trials, Align(), CrossSession())
    own, other = (decode(run.weights, {"model": run.model}, t, device="cpu") for t in (
        trials, replace(trials, dataset="mine", X=trials.X * 7)))    # fmt: skip
    first = (trials.meta["subject"] == "1").to_numpy()
    np.testing.assert_allclose(own[0, first], other[0, first], atol=1e-4)    # each aligned by itself: scales are gone
    known = decode(run.weights, {"model": run.model}, replace(trials, X=trials.X * 7), device="cpu")
    assert np.abs(known[0, first] - own[0, first]).max() > 0.01    # the reference of the training is kept


@pytest.mark.parametrize("frontend", [ZScore(), FRONT_ENDS["whiten"]], ids=["zscore", "whiten"])
def test_a_network_that_masks_what_is_not_there_answers_on_shorter_trials(frontend, make_trials):
    """As a decoder does that is asked before the trial is over; each member of an ensemble."""
    trials = make_trials(n_times=256)
    model = partial(STTransformer, width=8, patch=0.5, stride=0.25, block={"norm": "batch"})
    runs = expand(CrossSubject()(trials.meta, validation=0.2)[:1], Sweep(seeds=2), seed=0)
    fitted = list(TRAINER.fit(model, trials, [runs], frontend=frontend, on_epoch=lambda run, row: None))
    early = replace(trials, X=trials.X[..., :160])
    logits = decode(*stack(fitted), early, device="cpu")
    assert logits.shape == (2, len(trials), 3)
    for member, run in zip(logits, fitted, strict=True):
        if isinstance(frontend, ZScore):    # one map for all trials, so that the network can be asked itself
            net = rebuild_network(run.model)
            net.load_state_dict({name: torch.tensor(w) for name, w in run.weights.items() if "frontend" not in name})
            scale = torch.tensor(np.diag(run.weights["frontend.filters"]))[:, None]
            x = torch.tensor(early.X) * scale + torch.tensor(run.weights["frontend.offset"])[:, None]
            padded = torch.nn.functional.pad(x, (0, 96), value=1e3)    # padding that would be seen
            expected = net(padded, valid_lens=torch.full((len(x),), 160)).detach().numpy()
            np.testing.assert_allclose(member, expected, atol=1e-4)
        one = replace(early, X=early.X[:1], meta=early.meta.iloc[:1].reset_index(drop=True))
        np.testing.assert_allclose(decode(run.weights, {"model": run.model}, one)[0], member[:1], atol=1e-4)
    longer = replace(trials, X=np.concatenate([trials.X, trials.X], axis=2))
    with pytest.raises(ValueError, match=r"256 samples \(2 s\), these trials have 512 \(4 s\): cut them by"):
        decode(*stack(fitted), longer)


def test_channels_in_another_order_are_sorted(make_trials):
    trials = make_trials()
    (run,) = train(trials, ZScore())
    names = trials.signal.ch_names[::-1]
    turned = replace(trials, X=trials.X[:, ::-1], signal=replace(trials.signal, ch_names=names))
    about = {"model": run.model}
    np.testing.assert_array_equal(*(decode(run.weights, about, t, device="cpu") for t in (trials, turned)))


@pytest.mark.parametrize(("changed", "message"), [
    ({"ch_names": ("C0", "C1", "C2", "C3", "C4", "T3")},
     r"lack C5 and also have T3: it cannot be used on recordings without C5. If they .*preprocess.names=standard"),
    ({"sfreq": 250.0}, "trained at 128 Hz, these trials have 250 Hz: resample them by preprocess.sfreq=128"),
])    # fmt: skip
def test_other_channels_and_rates_are_named_with_the_way_out(changed, message, make_trials):
    trials = make_trials()
    (run,) = train(trials, ZScore())
    with pytest.raises(ValueError, match=message):
        decode(run.weights, {"model": run.model}, replace(trials, signal=replace(trials.signal, **changed)))


def test_channels_are_to_be_picked_only_where_they_are_there(make_trials):
    trials = make_trials()
    (run,) = train(trials, ZScore())
    more = replace(trials.signal, ch_names=(*trials.signal.ch_names, "T3"), positions=np.zeros((7, 3)))
    wide = replace(trials, X=np.concatenate([trials.X, trials.X[:, :1]], axis=1), signal=more)
    with pytest.raises(ValueError, match=r"also have T3: pick them by preprocess.channels=\[C0,C1,C2,C3,C4,C5\]$"):
        decode(run.weights, {"model": run.model}, wide)
    fewer = replace(trials.signal, ch_names=trials.signal.ch_names[:5], positions=trials.signal.positions[:5])
    with pytest.raises(ValueError, match=r"lack C5: it cannot be used on recordings without C5") as caught:
        decode(run.weights, {"model": run.model}, replace(trials, X=trials.X[:, :5], signal=fewer))
    assert "preprocess.channels" not in str(caught.value)    # which would only say that there is no such channel


def test_another_length_is_named_with_the_way_out(make_trials):
    trials = make_trials()
    (run,) = train(trials, ZScore())
    message = r"128 samples \(1 s\), these trials have 64 \(0.5 s\): cut them by preprocess.tmin=0 preprocess.tmax=1"
    with pytest.raises(ValueError, match=message):
        decode(run.weights, {"model": run.model}, replace(trials, X=trials.X[:, :, :64]))


@pytest.fixture
def finished(make_trials):
    trials = make_trials()
    return trials, train(trials, Align())[0]


def test_weights_of_another_network_are_refused(finished):
    trials, run = finished
    headless, old = (
        {name: array for name, array in run.weights.items() if name != out} for out in ("head.weight", "frontend.then")
    )
    with pytest.raises(ValueError, match=r"head.weight is absent, the network's \(3, "):
        decode(headless, {"model": run.model}, trials)
    with pytest.raises(ValueError, match=r"lacks frontend.then: it is of an older version"):
        decode(old, {"model": run.model}, trials)


@pytest.mark.parametrize("name", ["subprocess.Popen", "eegdecode.training.align.Align", "os.system"])
def test_a_file_calls_nothing_but_networks(name, finished):
    trials, run = finished
    model = {**run.model, "network": {"call": {"name": name}, "args": ["true"]}}
    with pytest.raises(ValueError, match=f"{name} is no class of networks"):
        decode(run.weights, {"model": model}, trials)
    model = {**run.model, "frontend": {"call": {"name": "subprocess.Popen"}, "args": ["true"]}}
    with pytest.raises(ValueError, match=r"front end subprocess.Popen is none of"):
        decode(run.weights, {"model": model}, trials)


def test_a_file_calls_nothing_that_a_module_of_front_ends_has_imported(finished, monkeypatch):
    trials, run = finished
    monkeypatch.setattr("eegdecode.training.crew.ProcessPoolExecutor", lambda: pytest.fail("it was called"))
    for name in ("crew.ProcessPoolExecutor", "job.Path", "align.inverse_root", "fitted.Places"):
        model = {**run.model, "frontend": {"call": {"name": f"eegdecode.training.{name}", "source": ""}}}
        with pytest.raises(ValueError, match=f"{name} is no front end"):
            decode(run.weights, {"model": model}, trials)


def test_what_has_changed_or_gone_is_said(finished, caplog):
    trials, run = finished
    network = describe(MODEL)
    call = {**network["call"], "source": "0" * 16}
    decode(run.weights, {"model": {**run.model, "network": {**network, "call": call}}}, trials, device="cpu")
    assert "the source of eegdecode.models.eegnet.EEGNet has changed since" in caplog.text
    gone = {"call": {"name": "gone.Net", "source": ""}}
    with pytest.raises(ValueError, match=r"needs gone.Net, which cannot be imported"):
        decode(run.weights, {"model": {**run.model, "network": gone}}, trials)
    with pytest.raises(ValueError, match="takes other settings than when it was trained"):
        decode(run.weights, {"model": {**run.model, "network": {**network, "hue": 3}}}, trials)
    front = {**run.model["frontend"], "hue": 3}
    with pytest.raises(ValueError, match=r"align\.Align takes other settings than when it was trained"):
        decode(run.weights, {"model": {**run.model, "frontend": front}}, trials)
    with pytest.raises(ValueError, match="does not tell its network"):
        decode(run.weights, {"model": {**run.model, "network": "eegnet"}}, trials)


def test_new_subjects_of_several_sets_decode_at_once(make_trials):
    """References of new groups stand after those of the training."""
    trials = make_trials(n_subjects=2)
    (run,) = train(trials, FRONT_ENDS["align_all"], CrossSession())
    other = replace(make_trials(n_subjects=2, seed=5), dataset="toy")
    renamed = other.meta.assign(subject=other.meta["subject"] + "b", trial=other.meta["trial"] + "b")
    both = concatenate([trials, replace(other, meta=renamed)])
    here = decode(run.weights, {"model": run.model}, both, device="cpu")
    np.testing.assert_allclose(here[0, run.run.split.test], run.logits["test"], atol=1e-5)
    alone = decode(run.weights, {"model": run.model}, replace(other, meta=renamed), device="cpu")
    np.testing.assert_allclose(here[0, len(trials) :], alone[0], atol=1e-5)
