"""A sweep on a real Ray of a head and two worker nodes: a training is killed, a node is lost."""

import pytest
from tests.integration.ray_here import absent, ray
from tests.integration.sweeps import GRID, assert_a_second_start_completes_it, done, ended, sweep, until

reason = absent()
pytestmark = [pytest.mark.ray, pytest.mark.skipif(bool(reason), reason=reason)]


@pytest.fixture(scope="module")
def cluster():
    with ray(workers=2) as here:
        yield here


def test_a_killed_training_is_told_the_others_end_and_a_second_start_completes_it(cluster, tmp_path):
    assert_a_second_start_completes_it("ray", folder=tmp_path, env=cluster.env)


def test_the_job_of_a_lost_node_goes_on_on_another(cluster, tmp_path):
    grid = [word.replace(",-1", "") for word in GRID]
    process = sweep("ray", folder=tmp_path, env=cluster.env, grid=grid)
    until(lambda: list(tmp_path.glob("out/*/finished/*.npz")), process)
    cluster.kill_worker()
    ended(process, 0)
    assert done(tmp_path, "0_eegnet")
    assert done(tmp_path, "1_eegnet")
