"""A sweep on a real Ray of a head and two worker nodes: a training is killed, a node is lost."""

import pytest
from tests.integration.ray_here import absent, ray
from tests.integration.sweeps import check_a_killed_job_and_a_second_start, commands, done, ended, sweep, until

reason = absent()
pytestmark = [pytest.mark.ray, pytest.mark.skipif(bool(reason), reason=reason)]


@pytest.fixture(scope="module")
def cluster():
    with ray(workers=2) as here:
        yield here


def test_a_killed_training_is_told_the_others_end_and_a_second_start_completes_it(cluster, tmp_path):
    check_a_killed_job_and_a_second_start("ray", folder=tmp_path, env=cluster.env)


def test_the_job_of_a_lost_node_goes_on_on_another(cluster, tmp_path):
    grid = ["model=eegnet", "trainer.lr=1e-3,2e-3", "trainer.epochs=40", "trainer.validation=0", "sweep.seeds=3",
            "dataset.subjects=[1]", "dataset.n_trials=9", "preprocess.sfreq=60", "device=cpu", "out_dir=out"]    # fmt: skip
    process = sweep("ray", folder=tmp_path, env=cluster.env, grid=grid)
    until(lambda: list(tmp_path.glob("out/*/finished/*.npz")), process)
    cluster.kill_worker()
    assert len(list(commands())) <= 2    # the sweep, and the job of the node that is left
    ended(process, 0)
    assert done(tmp_path, "0_eegnet")
    assert done(tmp_path, "1_eegnet")
