"""`genconvnet` as a client: the commands that use a service, their output and their exit codes."""

import errno
import functools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support import pictures, rows
from support.client import TINY
from support.http import free_port
from support.service import GENCONVNET, Service, clean_environment, slowed
from support.waiting import PATIENCE_SECONDS, until
from typer.testing import CliRunner, Result

from api.cli import app
from api.client import Job
from api.commands import results
from api.embedded.attached import lock_content
from core.storage.database import Database

SMALL = [
    f"--set={name}={json.dumps(value)}" for name, value in TINY.items() if name not in ("image_size", "iterations")
]
TRAIN = ["train", "--image-size=32", f"--iterations={TINY['iterations']}", *SMALL]


class Terminal:
    """Runs commands against a service in this process; the exit code must be as expected."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def run(self, *words: str | Path, code: int = 0) -> Result:
        done = CliRunner().invoke(app, [*map(str, words)], env={"GENCONVNET_SERVER": self.url, "COLUMNS": "200"})
        assert done.exit_code == code, (done.output, done.exception)
        return done

    def entries(self, *words: str | Path, code: int = 0) -> list[dict[str, Any]]:
        """Run a command with --json; every line of its output must be JSON."""
        return [json.loads(line) for line in self.run(*words, "--json", code=code).stdout.splitlines()]

    def entry(self, *words: str | Path, code: int = 0) -> dict[str, Any]:
        (entry,) = self.entries(*words, code=code)
        return entry


@pytest.fixture
def terminal(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stripes.png").write_bytes(pictures.stripes())
    yield Terminal(str(service.http.base_url), tmp_path)
    service.end_all()  # also after a test that failed


@pytest.fixture(scope="module")
def model_id(service: Service) -> str:
    """The id of a small model."""
    found: str = service.succeeded(service.train())["model_id"]
    return found


def test_help_comes_without_the_service_and_the_client() -> None:
    heavy = {"torch", "celery", "sqlalchemy", "fastapi", "uvicorn", "httpx", "structlog", "PIL", "numpy"}
    command = [sys.executable, "-P", "-X", "importtime", "-m", "api", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported & heavy == set()


def test_output_that_cannot_be_written_is_told_from_a_job_that_failed() -> None:
    def run(option: str, output: int, unbuffered: str) -> tuple[int, str]:
        command = [sys.executable, "-P", "-m", "api", option]
        environment = {**clean_environment(), "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment, check=False)
        return done.returncode, done.stderr

    for unbuffered in ("", "1"):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as closed, Path("/dev/full").open("w") as full:
            assert run("--version", closed.fileno(), unbuffered) == (141, "")  # written by typer
            assert run("--help", closed.fileno(), unbuffered) == (141, "")  # written by rich
            code, said = run("--version", full.fileno(), unbuffered)
        assert (code, said.count("\n")) == (2, 1)
        assert "standard output: No space left on device" in said


def test_ctrl_c_while_modules_are_imported_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**clean_environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-P", "-m", "api", "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def _leaves(command: Any, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    return [words] if inner is None else [leaf for name in inner for leaf in _leaves(inner[name], (*words, name))]


def test_every_command_has_an_example_that_begins_like_it_and_can_print_json() -> None:
    import typer

    every = _leaves(typer.main.get_command(app))
    assert {words[0] for words in every if "--server" in _help(words)} == {
        *("train", "sample", "reconstruct", "inpaint", "classify", "replay"),
        *("jobs", "models", "datasets", "presets"),
    }
    for words in every:
        assert f"Example: genconvnet {' '.join(words)}" in _help(words)
    services = {("serve",), ("api",), ("worker",)}  # which print logs
    assert {words for words in every if "--json" not in _help(words)} == services


@functools.cache
def _help(words: tuple[str, ...]) -> str:
    return CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).stdout


def test_the_shell_completes_commands_and_presets() -> None:
    environment = {**clean_environment(), "_GENCONVNET_COMPLETE": "complete_bash"}
    for words, completed in (("genconvnet tra", ["train"]), ("genconvnet train --preset photo-l", ["photo-large"])):
        line = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run([GENCONVNET], env={**environment, **line}, capture_output=True, text=True, check=False)
        assert done.stdout.split() == completed, done.stderr


def test_pictures_are_learned_and_no_earlier_result_is_overwritten(terminal: Terminal) -> None:
    done = terminal.run(*TRAIN, "--name=bricks", "--out=learned", "stripes.png")
    files = done.stdout.splitlines()
    assert all(Path(file).is_file() for file in files)
    assert {"learned/synthesized-001.png", "learned/metrics.json"} <= set(files)
    assert re.search(r"train job_\w+: succeeded", done.stderr)
    assert re.search(r"learned bricks \(model_\w+\)", done.stderr)
    sample = ("sample", "bricks", "--count=1", "--width=40", "--height=24", "--steps=5")
    job = terminal.entry(*sample, "--seed=7", "--out=learned")
    assert (job["status"], job["params"]["steps"], job["params"]["seed"]) == ("succeeded", 5, 7)
    assert job["files"] == ["learned/synthesized-002.png"]
    assert pictures.pixels(Path("learned/synthesized-002.png").read_bytes()).shape == (24, 40)
    assert terminal.run(*sample, "--out=more").stdout == "more/synthesized-000.png\n"
    assert [path.name for path in Path("learned").iterdir() if path.name.startswith(".")] == []


def test_a_picture_is_learned_where_its_mask_is_white(terminal: Terminal, service: Service) -> None:
    mask = pictures.decoded(Path("stripes.png").read_bytes()).point(lambda _: 255)
    mask.paste(0, (0, 0, 9, 5))
    mask.save("mask.png")
    job = terminal.entry(*TRAIN, "stripes.png", "--mask=mask.png")
    (image,) = service.http.get(f"/v1/datasets/{job['dataset_id']}").json()["images"]
    assert image["filename"] == "stripes.png"
    stored = pictures.decoded(service.http.get(f"/v1/datasets/{job['dataset_id']}/images/0").content)
    assert stored.getchannel("A").tobytes() == mask.tobytes()


def test_a_picture_too_large_to_be_masked_is_said(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's limit, else 89 million: an error from twice as many
    done = terminal.run("train", "stripes.png", "--mask=stripes.png", code=2)
    assert "exceeds limit of 200 pixels" in done.stderr


def test_finished_models_work_on_pictures(terminal: Terminal, model_id: str) -> None:
    Path("hole.png").write_bytes(pictures.with_hole(32, 32, hole=(8, 8, 16, 16), grey=True))
    job = terminal.entry("reconstruct", model_id, "stripes.png", "--mode=attractor", "--frames=3")
    names = [name.removeprefix("genconvnet-output/stripes-") for name in job["files"]]
    assert names[1:4] == [
        f"{name}-{job['id'][-6:]}.png" for name in ("reconstructed-000", "walk-000-00", "walk-000-01")
    ]
    job = terminal.entry("inpaint", model_id, "hole.png", "--count=2", "--steps=3", "--seed=4")
    made = [f"hole-inpainted-{number:03d}-{job['id'][-6:]}.png" for number in (0, 1)]
    assert [Path(file).name for file in job["files"][-2:]] == made
    refused = terminal.run("inpaint", model_id, "stripes.png", "--seam", code=2).stderr
    assert "short side must be 32" in refused
    assert "scale or crop it, or learn a model with --image-size 48" in refused
    refused = terminal.run("reconstruct", model_id, "stripes.png", "--frames=5", code=2).stderr
    assert "--frames: needs --mode attractor" in refused
    refused = terminal.run("sample", model_id, "--end=stripes.png", code=2).stderr
    assert "--end: needs --start, the picture to pass from" in refused
    assert "(--seam makes opaque" in terminal.run("inpaint", model_id, "stripes.png", code=2).stderr
    varied = ("--start=stripes.png", "--start-strength=0.2", "--count=1", "--steps=10")
    job = terminal.entry("sample", model_id, *varied)
    assert (job["params"]["start_strength"], job["progress"]["iterations"]) == (0.2, 2)
    guided = ("--guide=stripes.png", "--guide-strength=0.2", "--count=1", "--steps=2")
    assert terminal.entry("sample", model_id, *guided)["params"]["guide_strength"] == 0.2
    Path("film.gif").write_bytes(pictures.film())
    done = terminal.run("sample", model_id, "--guide=film.gif", "--count=1", "--steps=1")
    assert "film.gif: an animation: only its first frame is used" in done.stderr
    imported = terminal.folder / "m.safetensors"
    terminal.run("models", "export", model_id, imported)
    terminal.run("models", "import", imported, "--name=other")
    blended = ("--blend=other=stripes.png:0.75", f"--blend={model_id}=0.5", "--count=1", "--steps=2")
    job = terminal.entry("sample", model_id, *blended, "--out=blended")
    assert [(one["weight"], one["mask_dataset_id"] is None) for one in job["params"]["blend"]] == [
        (0.75, False),
        (0.5, True),
    ]
    (picture,) = map(Path, job["files"])
    (again,) = map(Path, terminal.entry("replay", picture, "--out=again")["files"])
    assert again.read_bytes() == picture.read_bytes()
    for wrong, said in (
        ("other", "'other' is not MODEL=MASK[:WEIGHT], nor MODEL=WEIGHT"),
        ("other=gone.png", "the mask 'gone.png' of 'other=gone.png' does not exist"),
        ("other=gone.png:0.5", "the mask 'gone.png' of 'other=gone.png:0.5' does not exist"),
        ("other=blended", "the mask 'blended' of 'other=blended' is no file"),
        ("other=2", "model 1 of --blend: "),
    ):
        assert said in terminal.run("sample", model_id, f"--blend={wrong}", code=2).stderr
    quick = ("--set=chains=2", "--set=temperatures=2", "--set=steps=1")
    twice = ("--model=other", "--model=other")
    assert "model 2 of --model: " in terminal.run("classify", "stripes.png", *twice, code=2).stderr
    done = terminal.run("classify", "stripes.png", f"--model={model_id}", "--model=other", "--refine", *quick)
    said = re.search(rf"stripes.png: (?:(?:{model_id}|other)( \(\d+%\))?|(undecided))\n", done.stderr)
    assert said
    assert (said[2] is not None) == ("rests on a single chain" in done.stderr)
    assert (said[1] or said[2]) or "compared with these instead" in done.stderr


def test_a_picture_is_shown_and_made_again_from_its_file_alone(terminal: Terminal, model_id: str) -> None:
    terminal.run("sample", model_id, "--count=2", "--width=40", "--steps=3", "--seed=5", "--out=first")
    picture = Path("first/synthesized-001.png")
    about = json.loads(terminal.run("show", picture, "--json").stdout)
    assert (about["kind"], about["params"]["seed"], about["params"]["width"]) == ("sample", 6, 40)
    assert "  seed = 6" in terminal.run("show", picture).stdout.splitlines()
    assert terminal.run("replay", picture, "--out=again").stdout == "again/synthesized-000.png\n"
    assert Path("again/synthesized-000.png").read_bytes() == picture.read_bytes()
    for command in ("show", "replay"):
        assert "stripes.png: it does not say how it was made" in terminal.run(command, "stripes.png", code=2).stderr


def test_a_pipe_is_shown(tmp_path: Path) -> None:
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(pictures.png(),), daemon=True)
    writer.start()
    done = CliRunner().invoke(app, ["show", str(pipe)])
    writer.join(PATIENCE_SECONDS)
    assert (done.exit_code, "it does not say how it was made" in done.stderr) == (2, True), done.exception


def test_models_are_looked_after(terminal: Terminal, model_id: str) -> None:
    file = terminal.folder / "m.safetensors"
    exported = terminal.entry("models", "export", model_id, file)
    assert (exported["id"], exported["file"], file.stat().st_size) == (model_id, str(file), exported["bytes"])
    assert "exists" in terminal.run("models", "export", model_id, file, code=2).stderr
    twin = terminal.entry("models", "import", file, "--name=twin")
    assert terminal.entry("models", "rename", "twin", "sister")["name"] == "sister"
    imported = terminal.run("models", "import", file, "--name=sister")
    assert imported.stderr == f"warning: sister is also the name of {twin['id']}: commands then need an id\n"
    other = imported.stdout.strip()
    assert terminal.run("models", "rename", twin["id"], "sister").stderr.startswith(
        f"warning: sister is also the name of {other}:"
    )
    refused = terminal.run("models", "show", "sister", code=2).stderr
    assert all(f"{one}, imported at 2" in refused for one in (twin["id"], other))
    assert f"id = {twin['id']}" in terminal.run("models", "show", twin["id"]).stdout
    listed = terminal.run("models", "list")
    assert len([row for row in listed.stdout.splitlines() if "  sister  " in row]) == 2
    assert next(row for row in listed.stdout.splitlines() if row.startswith(model_id)).endswith("  0.png")
    assert "sister is the name of 2 models" in listed.stderr
    job_id = terminal.run(*TRAIN, "--detach", "--name=sister", "stripes.png")
    assert "sister is also the name of" in job_id.stderr
    terminal.run("jobs", "cancel", job_id.stdout.strip())
    for model in [one for one in terminal.entries("models", "list") if one["name"] == "sister"]:
        terminal.run("models", "delete", model["id"])
    assert "sister" in terminal.run("models", "show", "sister", code=2).stderr


def test_training_says_how_long_it_will_take_before_it_begins(terminal: Terminal) -> None:
    said = terminal.run("train", "stripes.png", "--image-size=32", "--iterations=1").stderr.splitlines()
    assert re.fullmatch(r"learning takes about 2 s(, depending on the machine)?", said[0])
    assert len([line for line in said if line.startswith("learning takes")]) == 1
    job_id = terminal.run("train", "stripes.png", "--iterations=100000", "--detach")
    assert re.match(r"learning takes about \d.*(min|h)", job_id.stderr)
    terminal.run("jobs", "cancel", job_id.stdout.strip())
    assert "learning takes" not in terminal.run(*TRAIN, "stripes.png").stderr, "of such a net no time was measured"


def test_a_model_is_found_whatever_the_case_of_its_name(terminal: Terminal, model_id: str) -> None:
    terminal.run("models", "rename", model_id, "Zigzag Quay")
    assert terminal.entry("models", "show", "zigzag quay")["id"] == model_id
    assert "did you mean 'Zigzag Quay'?" in terminal.run("models", "show", "zigzag qay", code=2).stderr
    assert "`genconvnet models list`" in terminal.run("models", "show", "something else", code=2).stderr
    file = terminal.folder / "m.safetensors"
    terminal.run("models", "export", model_id, file)
    other = terminal.run("models", "import", file, "--name=zigzag quay").stdout.strip()
    assert terminal.entry("models", "show", "zigzag quay")["id"] == other
    assert terminal.entry("models", "show", "Zigzag Quay")["id"] == model_id
    assert "is the name of 2 models" in terminal.run("models", "show", "ZIGZAG QUAY", code=2).stderr
    terminal.run("models", "delete", other)


def test_a_listing_of_jobs_asks_for_the_names_of_their_models_alone(
    terminal: Terminal, service: Service, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    handle = httpx.HTTPTransport.handle_request

    def counted(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return handle(transport, request)

    def listed() -> dict[str, str]:
        asked.clear()
        lines = terminal.run("jobs", "list", "--kind=train", "--status=succeeded").stdout.splitlines()
        return {line.split()[0]: line.split()[-1] for line in lines[1:]}

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", counted)
    older = service.http.get(f"/v1/models/{model_id}").json()["job_id"]
    newer = service.succeeded(service.train())
    terminal.run("models", "rename", model_id, "older")
    terminal.run("models", "rename", newer["model_id"], "newer")
    names = listed()
    assert (names[older], names[newer["id"]]) == ("older", "newer")
    assert [one for one in asked if one.startswith("/v1/models")] == ["/v1/models?limit=100"]
    monkeypatch.setattr(results, "NEWEST", 1)
    names = listed()
    assert (names[older], names[newer["id"]]) == ("older", "newer")
    assert f"/v1/models/{model_id}" in asked
    terminal.run("models", "delete", newer["model_id"])
    assert listed()[newer["id"]] == newer["model_id"]


def _full_disk(_: Path) -> Path:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_jobs_are_looked_after(terminal: Terminal, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = terminal.run(*TRAIN, "--iterations=100000", "--detach", "stripes.png").stdout.strip()
    service.running(job_id)
    with slowed(service.child("train")):
        listed = terminal.run("jobs", "list", "--status=running", "--kind=train").stdout
        assert listed.splitlines()[1].startswith(job_id)
        assert terminal.entry("jobs", "show", job_id)["status"] == "running"
        assert "409" not in terminal.run("jobs", "delete", job_id, code=2).stderr.replace(job_id, "")
        assert f"job {job_id} is running" in terminal.run("jobs", "download", job_id, "--out=early").stderr
    terminal.run("jobs", "cancel", job_id)
    until(lambda: service.job(job_id)["status"] == "canceled")
    assert "was canceled" in terminal.run("jobs", "watch", job_id, code=1).stderr
    assert terminal.run("jobs", "cancel", job_id, code=2).stdout == ""
    done = terminal.run(*TRAIN, "--detach", "--name=later", "stripes.png").stdout.strip()
    learned = terminal.entry("jobs", "watch", done)
    listed = terminal.run("jobs", "list", "--status=succeeded", "--kind=train").stdout
    assert next(line for line in listed.splitlines() if line.startswith(done)).endswith("later")
    assert (learned["status"], learned["model_name"]) == ("succeeded", "later")
    assert terminal.entry("models", "show", "later")["id"] == learned["model_id"]
    assert terminal.run("jobs", "download", done, "--out=files").stdout.count("\n") == len(
        list(Path("files").iterdir())
    )
    with monkeypatch.context() as full:
        full.setattr("api.client.files._temporary", _full_disk)
        failed = terminal.run("jobs", "download", done, "--out=full", code=2).stderr
    assert f"No space left on device; `genconvnet jobs download {done} --out DIR` writes" in failed
    refused = terminal.run("jobs", "resume", done, "--iterations=100000000", code=2).stderr
    assert "jobs resume: --iterations: " in refused
    resumed = terminal.entry("jobs", "resume", done, "--iterations=45", "--out=further")
    assert (resumed["params"]["iterations"], resumed["status"]) == (45, "succeeded")
    assert terminal.entry("models", "show", "later")["id"] == learned["model_id"]
    terminal.run("jobs", "delete", done)
    for gone in (done, ""):
        assert terminal.run("jobs", "show", gone, code=2).stderr.startswith("genconvnet jobs show: there is no job")


def test_datasets_and_presets_are_shown(terminal: Terminal, service: Service) -> None:
    dataset_id = service.upload()
    assert terminal.entry("datasets", "show", dataset_id)["images"][0]["filename"] == "0.png"
    assert dataset_id in terminal.run("datasets", "list").stdout
    assert terminal.run("datasets", "delete", dataset_id).stderr == f"dataset {dataset_id} was deleted\n"
    assert dataset_id not in [one["id"] for one in terminal.entries("datasets", "list")]
    assert {"quick", "texture"} <= {one["name"] for one in terminal.entries("presets", "list")}
    shown = terminal.run("presets", "show", "quick").stdout
    assert re.search(r"^iterations = \d+  \(≥ 1, ≤ 100000\)$", shown, re.MULTILINE)
    assert "unknown preset" in terminal.run("presets", "show", "none", code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "none.png"), "none.png"),
        (("train",), "pictures"),
        (("train", "stripes.png", "--dataset=dataset_1"), "pictures"),
        (("train", "stripes.png", "--set", "iterations"), "'iterations' is not NAME=VALUE"),
        (("train", "stripes.png", "--iterations=5", "--set=iterations=6"), "iterations is given twice"),
        (("train", "stripes.png", "--set=iterations=many"), "--iterations: "),
        (("train", "stripes.png", "--set=iteration=5"), "--set iteration: "),
        (("train", "stripes.png", "--set=step_size=NaN"), "--set step_size: must be a finite number"),
        (("train", "stripes.png", "--set=end_shares=[1e400]"), "--set end_shares: must be a finite number"),
        (("train", "stripes.png", "--time-limit=inf"), "--time-limit: must be a finite number"),
        (("sample", "model_none", "--guide-strength=nan"), "--guide-strength: must be a finite number"),
        (("train", "stripes.png", "--set", 'layers=[{"filters": 64'), "is not valid JSON"),
        (("train", "stripes.png", "--preset=none"), "unknown preset 'none'"),
        (("train", "stripes.png", "--map=albedo=stripes.png"), "pictures"),
        (("train", "--map=diffuse=stripes.png"), "'diffuse=stripes.png' is not ROLE=FILE"),
        (("train", "--map=albedo=stripes.png", "--map=albedo=stripes.png"), "albedo is given twice"),
        (("train", "--map=albedo=none.png"), "'none.png' is no file"),
        (("train", "--map=normal=stripes.png"), "must be RGB"),
        (("train", "stripes.png", "--mask=broken.png"), "broken.png"),
        (("train", "stripes.png", "stripes.png", "--mask=stripes.png"), "one picture, a file"),
        (("train", "stripes.png", "--mask=black.png"), "the mask leaves nothing"),
        (("train", "stripes.png", "--mask=stripes.png", "--preset=object-cpu"), "learn what the mask leaves out"),
        (("train", "stripes.png", "--mask=stripes.png", "--set=contrastive=true"), "learn what the mask leaves out"),
        (("train", "--dataset=dataset_1", "--mask=stripes.png"), "not with --dataset"),
        (("train", "--map=albedo=stripes.png", "--mask=stripes.png"), "not with --map"),
        (("classify", "stripes.png", "--model=one"), "repeat --model for each"),
        (("train", "stripes.png", "--mask=notes.txt"), "notes.txt is no picture that can be read here"),
        (("train", "stripes.png", "--set=orientations=45"), "--set orientations: 45 is no orientation"),
        (("train", "broken.png"), "broken.png"),
        (("train", "empty"), "no pictures"),
        (("sample", "model_none"), "model_none"),
        (("jobs", "list", "--key=Schlüssel"), "not ASCII"),
        (("jobs", "list", "--server=nowhere"), "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_use_is_said_and_ends_with_2(
    terminal: Terminal, service: Service, words: tuple[str, ...], said: str
) -> None:
    Path("notes.txt").write_text("no picture")
    Path("broken.png").write_bytes(pictures.png()[:50])
    Image.new("L", pictures.decoded(pictures.stripes()).size).save("black.png")
    Path("empty").mkdir()
    newest = service.http.get("/v1/datasets", params={"limit": 1}).json()["data"]
    done = terminal.run(*words, code=2)
    assert service.http.get("/v1/datasets", params={"limit": 1}).json()["data"] == newest, "nothing was left behind"
    assert said in done.stderr
    assert done.stdout == ""


def test_a_service_that_cannot_be_used_is_said_and_ends_with_3_or_4(terminal: Terminal) -> None:
    away = f"--server=http://127.0.0.1:{free_port()}"
    assert "no service" in terminal.run("jobs", "list", away, "--json", code=3).stderr
    assert "key" in terminal.run("jobs", "list", "--key=gcn_wrong", code=4).stderr


def test_a_job_that_fails_ends_with_1(terminal: Terminal) -> None:
    done = terminal.run(*TRAIN, "--iterations=100000", "--time-limit=0.001", "stripes.png", "--json", code=1)
    assert "has failed" in done.stderr
    assert done.stdout == ""


def test_pictures_stay_if_their_job_was_taken_and_then_deleted_by_another_client(
    terminal: Terminal, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(_session: object, job: Job, **_: object) -> None:
        service.finished(job.id)
        job.delete()
        job.refresh()

    monkeypatch.setattr("api.commands.results.follow", follow)
    assert "there is no job" in terminal.run(*TRAIN, "stripes.png", "--name=kept", code=2).stderr
    (newest,) = service.http.get("/v1/datasets", params={"limit": 1}).json()["data"]
    assert newest["name"] == "kept"


def _interrupted(number: signal.Signals, *words: str) -> tuple[str, int, str]:
    """Run a command, and send it a signal when its job runs. Return the job's id, the exit code, and the last line."""
    process = subprocess.Popen(
        [GENCONVNET, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.endswith("running\n"))
    process.send_signal(number)
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert output == ""
    return line.split()[1].rstrip(":"), process.returncode, errors.splitlines()[-1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_cancel_the_job_and_say_so(
    terminal: Terminal, service: Service, number: signal.Signals, code: int
) -> None:
    command = [*TRAIN, "--iterations=100000", "stripes.png", "--out=none", f"--server={terminal.url}"]
    job_id, *ended = _interrupted(number, *command)
    assert ended == [code, f"job {job_id} was canceled"]
    assert service.finished(job_id)["status"] == "canceled"
    assert not Path("none").exists()


def test_sigterm_cancels_the_job_of_a_service_of_the_commands_own_and_ends_both(tmp_path: Path) -> None:
    (tmp_path / "stripes.png").write_bytes(pictures.stripes())
    data = f"--data-dir={tmp_path / 'data'}"
    job_id, *ended = _interrupted(signal.SIGTERM, *TRAIN, "--iterations=100000", str(tmp_path / "stripes.png"), data)
    assert ended == [143, f"job {job_id} was canceled"]
    assert lock_content(tmp_path / "data") is None, "the service has ended"
    (job,) = CliRunner().invoke(app, ["jobs", "list", "--json", data]).stdout.splitlines()
    assert (json.loads(job)["id"], json.loads(job)["status"]) == (job_id, "canceled")


def test_sigterm_ends_watching_a_job_that_goes_on(terminal: Terminal, service: Service) -> None:
    job_id = service.train(None, iterations=100_000)
    service.running(job_id)
    with slowed(service.child("train")):
        ended = _interrupted(signal.SIGTERM, "jobs", "watch", job_id, f"--server={terminal.url}")
        assert ended == (job_id, 143, f"job {job_id} goes on")
        assert service.job(job_id)["status"] == "running"
    service.cancel(job_id)


def test_a_job_is_not_left_to_a_service_that_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "stripes.png").write_bytes(pictures.stripes())
    command = ["train", str(tmp_path / "stripes.png"), "--detach", "--data-dir", str(tmp_path / "data")]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no service is running" in done.stderr
    assert not (tmp_path / "data").exists(), "nothing was uploaded"


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stripes.png").write_bytes(pictures.stripes())
    words = ["train", "stripes.png", f"--server=http://127.0.0.1:{free_port()}"]  # where no service is
    for out in ("stripes.png/learned", f"{tmp_path}/stripes.png/a/b"):
        done = CliRunner().invoke(app, [*words, "--out", out], env={"COLUMNS": "300"})
        assert (done.exit_code, "stripes.png is a file" in done.stderr) == (2, True), done.stderr
    monkeypatch.setattr(os, "access", lambda path, mode, **_: Path(path) != tmp_path or not mode & os.W_OK)
    done = CliRunner().invoke(app, [*words, "--out=a/b"], env={"COLUMNS": "300"})
    assert (done.exit_code, f"{tmp_path} is not writable" in done.stderr) == (2, True), done.stderr


def test_presets_are_shown_without_a_service_and_leave_no_data(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["presets", "list", "--data-dir", str(tmp_path / "data")])
    assert (done.exit_code, "texture-cpu" in done.stdout) == (0, True)
    assert not (tmp_path / "data").exists()


def test_a_service_that_runs_on_the_data_folder_is_used(service: Service) -> None:
    dataset_id = service.upload()
    before = len(service.processes())
    done = CliRunner().invoke(app, ["datasets", "list", "--data-dir", str(service.data_dir)])
    assert (done.exit_code, len(service.processes())) == (0, before)
    assert dataset_id in done.stdout


def test_without_a_server_a_job_runs_on_a_service_of_its_own_with_pictures_in_the_terminal(tmp_path: Path) -> None:
    """One command on a terminal of 24-bit colours: broker, API and workers come and go with it."""
    (tmp_path / "stripes.png").write_bytes(pictures.stripes())
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 100))
    environment = {**clean_environment(), "GENCONVNET_PREVIEW_SECONDS": "0.01", "GENCONVNET_SAMPLE_WORKERS": "1"}
    terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [GENCONVNET, *TRAIN, "stripes.png", "--out=learned"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=tmp_path,
        env={**environment, **terminal},
    )
    os.close(slave)
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                shown.extend(os.read(master, 1 << 16))
            except OSError:  # the terminal's last process has ended
                return

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait(PATIENCE_SECONDS)
    reader.join()
    os.close(master)
    text = shown.decode()
    assert code == 0, text
    assert "learning" in text
    assert "learned/synthesized-000.png" in text
    assert re.search(r"\x1b\[38;2;\d+;\d+;\d+;48;2;\d+;\d+;\d+m▀", text), "half blocks of two colours"
    assert (tmp_path / "learned" / "synthesized-001.png").is_file()
    kept = Database(f"sqlite:///{tmp_path / 'genconvnet-data' / 'genconvnet.sqlite3'}")
    assert rows.count(kept)["models"] == 1
    kept.dispose()
