"""A chaos run: several clients post jobs while faults happen, at random from a seed; then every promise is checked."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from chaos import checks, workload
from chaos.clients import Client, History
from chaos.faults import FAULTS, Target, unfinished
from chaos.rig import Rig
from support import postgres
from support.client import ServiceClient

CLIENTS = 4


@dataclass(frozen=True)
class ChaosSettings:
    seed: int
    seconds: float = 300.0
    jobs: int = 200
    database: str = "sqlite"
    settle_seconds: float = 600.0  # after the last fault, within which every job must have ended
    faults: Sequence[str] = tuple(FAULTS)
    pause_seconds: float = 1.5  # between two faults, on average
    iterations: int = workload.ITERATIONS  # of a training job
    seeds: Sequence[int] = workload.SEEDS  # of the distinct training jobs


@dataclass(frozen=True)
class Report:
    violations: list[str]
    faults: Counter[str]
    outcomes: Counter[str]
    unreferenced: int  # files of attempts that were lost
    settled_seconds: float
    history: Path

    def table(self) -> str:
        lines = [f"| {name} | {count} |" for name, count in sorted(self.faults.items())]
        lines += ["|---|---|", *(f"| {name} | {count} |" for name, count in sorted(self.outcomes.items()))]
        lines += [
            f"| files of lost attempts | {self.unreferenced} |",
            f"| all jobs ended after | {self.settled_seconds:.1f} s |",
        ]
        return "\n".join([*lines, *(f"VIOLATION {one}" for one in self.violations)]) + "\n"


def run(settings: ChaosSettings, folder: Path) -> Report:
    with ExitStack() as stack:
        server = stack.enter_context(postgres.own()) if settings.database == "postgresql" else None
        rig = Rig(folder, server.url.render_as_string(hide_password=False) if server else None)
        stack.callback(rig.close)
        rig.start()
        history = History(folder / "history.jsonl")
        controls, bodies = _control_jobs(rig.client, settings)
        target = Target(rig, Random(settings.seed), server)
        requests = workload.requests(Random(settings.seed), settings.jobs, CLIENTS, settings.seeds)
        shares = [[one for one in requests if one.client == number] for number in range(CLIENTS)]
        clients = [
            Client(number, rig.url, history, share, bodies, seed=settings.seed, seconds=settings.seconds)
            for number, share in enumerate(shares)
        ]
        for client in clients:
            client.start()
        done = _inject_faults(settings, target, history)
        settled = _settle(settings, rig, clients)
        found = [f"{client.name} failed: {client.error!r}" for client in clients if client.error is not None]
        found += checks.violations(rig, history, controls)
        found += [] if checks.ready(rig) else ["the service is not ready"]
        outcomes, unreferenced = checks.outcomes(rig, controls), len(checks.unreferenced(rig))
        return Report(found, done, outcomes, unreferenced, settled, history.path)


def _control_jobs(client: ServiceClient, settings: ChaosSettings) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Do each distinct job undisturbed; return the jobs' ids and their requests, by name."""
    dataset = client.upload()
    trained = _done(client, workload.bodies(dataset, {}, settings.iterations, settings.seeds))
    models = {name: job["model_id"] for name, job in trained.items()}
    bodies = workload.bodies(dataset, models, settings.iterations, settings.seeds)
    others = _done(client, {name: body for name, body in bodies.items() if name not in trained})
    return {name: job["id"] for name, job in {**trained, **others}.items()}, bodies


def _done(client: ServiceClient, bodies: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    posted = {name: client.post_job(body) for name, body in bodies.items()}
    return {name: client.succeeded(job_id) for name, job_id in posted.items()}


def _inject_faults(settings: ChaosSettings, target: Target, history: History) -> Counter[str]:
    """Cause faults one after another for `seconds`, in rounds of all kinds; return how often each happened."""
    done: Counter[str] = Counter()
    deadline, left = time.monotonic() + settings.seconds, []
    while left or time.monotonic() < deadline:  # at least one whole round
        left = left or target.random.sample(list(settings.faults), len(settings.faults))
        name = left.pop()
        history.add("fault", name=name)
        try:
            FAULTS[name](target)
        except Exception as error:  # the database may be away for a moment, by another fault
            history.add("fault failed", name=name, error=repr(error))
        else:
            done[name] += 1
        time.sleep(target.random.uniform(0, 2 * settings.pause_seconds))
    return done


def _settle(settings: ChaosSettings, rig: Rig, clients: Sequence[Client]) -> float:
    """Wait until all jobs were accepted and have ended; return the seconds that took."""
    started_at = time.monotonic()
    rig.wait_until_ready()
    deadline = started_at + settings.settle_seconds
    while any(client.is_alive() for client in clients) or unfinished(rig):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for client in clients:
        client.stopping.set()
        client.join()
    return time.monotonic() - started_at
