"""A storm: jobs from several clients, faults at random from a seed, then quiet, and every promise checked."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
from chaos import check, plan
from chaos.clients import FINAL, Client, History
from chaos.faults import FAULTS, Scene, unfinished
from chaos.rig import Rig
from support import pictures, postgres

CLIENTS = 4


@dataclass(frozen=True)
class Storm:
    seed: int
    seconds: float = 300.0
    jobs: int = 200
    database: str = "sqlite"
    settle_seconds: float = 600.0  # within which every job must have ended, once no more faults come
    faults: Sequence[str] = tuple(FAULTS)
    pause_seconds: float = 1.5  # between two faults, on the average


@dataclass(frozen=True)
class Report:
    violations: list[str]
    faults: Counter[str]
    outcomes: Counter[str]
    strays: int
    settled_seconds: float
    history: Path

    def table(self) -> str:
        lines = [f"| {name} | {count} |" for name, count in sorted(self.faults.items())]
        lines += ["|---|---|", *(f"| {name} | {count} |" for name, count in sorted(self.outcomes.items()))]
        lines += [f"| files of lost attempts | {self.strays} |", f"| quiet after | {self.settled_seconds:.1f} s |"]
        return "\n".join([*lines, *(f"VIOLATION {one}" for one in self.violations)]) + "\n"


def run(storm: Storm, folder: Path) -> Report:
    with ExitStack() as stack:
        server = stack.enter_context(postgres.own()) if storm.database == "postgresql" else None
        rig = Rig(folder, server.url.render_as_string(hide_password=False) if server else None)
        stack.callback(rig.close)
        rig.start()
        history = History(folder / "history.jsonl")
        controls, bodies = _undisturbed(rig)
        scene = Scene(rig, Random(storm.seed), server)
        wanted = plan.wanted(Random(storm.seed), storm.jobs, CLIENTS)
        shares = [[one for one in wanted if one.client == number] for number in range(CLIENTS)]
        clients = [
            Client(number, rig.url, history, share, bodies, seed=storm.seed, seconds=storm.seconds)
            for number, share in enumerate(shares)
        ]
        for client in clients:
            client.start()
        done = _rage(storm, scene, history)
        settled = _settle(storm, rig, clients)
        found = [f"{client.name} broke: {client.broke!r}" for client in clients if client.broke is not None]
        found += check.violations(rig, history, controls)
        found += [] if check.ready(rig) else ["the service is not ready"]
        outcomes, strays = check.outcomes(rig, controls), len(check.strays(rig))
        return Report(found, done, outcomes, strays, settled, history.path)


def _undisturbed(rig: Rig) -> tuple[dict[str, str], dict[str, dict[str, object]]]:
    """The ids of the jobs that are done in peace, by their names, and what is asked for under each name."""
    with httpx.Client(base_url=rig.url, timeout=60) as client:
        files = {"images": ("stripes.png", pictures.stripes(), "image/png")}
        dataset = client.post("/v1/datasets", files=files).raise_for_status().json()["id"]
        learned = _done(client, plan.bodies(dataset, {}))
        models = {name: job["model_id"] for name, job in learned.items()}
        bodies = plan.bodies(dataset, models)
        drawn = _done(client, {name: body for name, body in bodies.items() if name not in learned})
        return {name: job["id"] for name, job in {**learned, **drawn}.items()}, bodies


def _done(client: httpx.Client, bodies: dict[str, dict[str, object]]) -> dict[str, dict[str, str]]:
    posted = {name: client.post("/v1/jobs", json=body).raise_for_status().json() for name, body in bodies.items()}
    deadline = time.monotonic() + 300
    for name, job in posted.items():
        while job["status"] not in FINAL:
            if time.monotonic() > deadline:
                raise TimeoutError(f"in peace, {name} has not ended: {job}")
            time.sleep(0.1)
            job = posted[name] = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
        assert job["status"] == "succeeded", job
    return posted


def _rage(storm: Storm, scene: Scene, history: History) -> Counter[str]:
    """One fault after another; each kind comes once before any comes again."""
    done: Counter[str] = Counter()
    deadline, left = time.monotonic() + storm.seconds, []
    while time.monotonic() < deadline:
        left = left or scene.random.sample(list(storm.faults), len(storm.faults))
        name = left.pop()
        history.add("fault", name=name)
        try:
            FAULTS[name](scene)
        except Exception as error:  # the database may be gone for a moment, by another fault's doing
            history.add("fault failed", name=name, error=repr(error))
        else:
            done[name] += 1
        time.sleep(scene.random.uniform(0, 2 * storm.pause_seconds))
    return done


def _settle(storm: Storm, rig: Rig, clients: Sequence[Client]) -> float:
    """Wait until all was accepted and has ended; gives the seconds that it took."""
    began_at = time.monotonic()
    rig.wait_until_ready()
    deadline = began_at + storm.settle_seconds
    while any(client.is_alive() for client in clients) or unfinished(rig):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for client in clients:
        client.gives_up.set()
        client.join()
    return time.monotonic() - began_at
