"""The processes of one training (core/engine/ranks.py): they wait for each other, and end with rank 0."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from training import CPU, PARAMS, pictures, with_

from core.engine import distributed
from core.engine.distributed import DistributedEngine
from core.engine.fast import FastEngine
from core.engine.ranks import Ranks, started_ranks
from core.recipe.learner import Learner

FOLDER = "GENCONVNET_TEST_FOLDER"
FAIL = "fail"
LEAD_SECONDS = 0.3  # by which the other rank is ready before rank 0


class SlowEngine(FastEngine):
    """Rank 0's engine, which is slow, and says in a file that it has computed its share."""

    def __init__(self, computed: Path) -> None:
        super().__init__()
        self.computed = computed

    def basis(self, *given):
        return self._slowly(super().basis(*given))

    def run(self, *given):
        return self._slowly(super().run(*given))

    def gradient(self, *given):
        return self._slowly(super().gradient(*given))

    def _slowly(self, found):
        time.sleep(LEAD_SECONDS)
        self.computed.touch()
        return found


def serve_and_note(receive, answer, device):
    """Serve, and note each time that the answer is given whether rank 0 has computed its share by then.

    FAIL is answered with an error.
    """
    folder = Path(os.environ[FOLDER])

    def receive_request():
        while (message := receive()) == FAIL:
            answer(ValueError("of this rank"))
        return message

    def answer_and_note(message):
        answer(message)
        with (folder / "notes").open("a") as notes:
            print((folder / "computed").exists(), file=notes)
        (folder / "computed").unlink(missing_ok=True)

    distributed.serve(receive_request, answer_and_note, device)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ranks(folder: Path) -> Iterator[Ranks]:
    """This process and another, in which `serve_and_note` runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        with started_ranks([CPU, CPU], serve_and_note) as started:
            yield started


def test_a_rank_enters_a_transfer_only_when_rank_0_is_ready_for_it(ranks, folder):
    """A transfer has a time limit of a minute, and rank 0 may compute for much longer than the other."""
    params = with_(PARAMS, layerwise=False, num_chains=2, langevin_steps=1)
    engine = DistributedEngine(SlowEngine(folder / "computed"), ranks)
    learner = Learner(pictures(count=2), params, engine=engine)
    learner.update()
    engine.basis(learner.state.net, learner.state.chains, params.boundary)
    assert (folder / "notes").read_text().split() == ["True"] * 4, "the chains, two gradients, and B"


def test_the_error_of_a_rank_is_raised_by_rank_0_and_a_rank_that_waits_for_it_ends_when_it_does(ranks):
    """The last test of this module: it ends the other process."""
    ranks.request(FAIL)
    with pytest.raises(ValueError, match="of this rank"):
        ranks.answers()
    (other,) = ranks._others
    assert other.process.is_alive(), "it has answered, and waits"
    other.pipe.close()
    other.process.join(60)
    assert other.process.exitcode == 0
