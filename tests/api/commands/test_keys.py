"""The commands that create, list and revoke keys, and show the audit log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.postgres import PostgresServer
from typer.testing import CliRunner

from api.cli import app
from core.storage import keys
from core.storage.database import Database


def test_the_commands_create_list_and_revoke_keys_and_show_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)

    def run(*words: str) -> tuple[str, str]:
        done = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.stdout, done.stderr

    key, advice = run("keys", "create", "ada", "--admin", "--max-unfinished-jobs", "3")
    assert key.startswith("gcn_")
    assert key.strip() not in advice
    key_id = advice.split(",")[0]
    listed = run("keys", "list")[0]
    assert all(word in listed for word in (key_id, "ada", key[:10], "admin", "3 unfinished jobs"))
    assert key.strip() not in listed
    assert "No key is left" in run("keys", "revoke", key_id)[1]
    entries = run("audit")[0].splitlines()
    assert [("key.create" in line, "key.revoke" in line) for line in entries] == [(True, False), (False, True)]


def test_keys_list_cuts_no_id_and_keys_are_revoked_by_name_prefix_or_the_key_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)
    monkeypatch.setenv("COLUMNS", "20")

    def run(*words: str, exit_code: int = 0) -> tuple[str, str]:
        done = CliRunner().invoke(app, [words[0], *words[1:2], "--data-dir", str(tmp_path), *words[2:]])
        assert done.exit_code == exit_code, done.output
        return done.stdout, done.stderr

    names = ["ada", "ada", "名前 " * 40, "carl", "dora"]
    made = [json.loads(run("keys", "create", name, "--json")[0]) for name in names]
    listed = run("keys", "list")[0].splitlines()
    assert len(listed) == 1 + len(made)
    for one in made:
        assert any(line.startswith(one["id"]) and one["name"].strip() in line for line in listed)
    as_json = [json.loads(line) for line in run("keys", "list", "--json")[0].splitlines()]
    assert [one["id"] for one in as_json] == [one["id"] for one in reversed(made)]
    assert all(one["key"] not in str(as_json) for one in made)

    ambiguous = run("keys", "revoke", "ada", exit_code=2)[1]
    assert all(one["id"] in ambiguous for one in made[:2])
    assert made[0]["id"] in run("keys", "revoke", made[0]["id"])[1]
    assert made[1]["id"] in run("keys", "revoke", "ada")[1], "only one of the name is left"
    assert "already revoked" in run("keys", "revoke", "ada", exit_code=2)[1]
    assert made[2]["id"] in run("keys", "revoke", names[2])[1]
    revoked = json.loads(run("keys", "revoke", made[3]["prefix"], "--json")[0])
    assert (revoked["id"], revoked["revoked_at"] is None) == (made[3]["id"], False)
    wrong = made[4]["key"][:-1] + ("A" if made[4]["key"][-1] != "A" else "B")
    refused = run("keys", "revoke", wrong, exit_code=2)[1]
    assert wrong not in refused
    assert f"did you mean {made[4]['id']} (dora)?" in refused
    id_ = made[4]["id"]
    for cut in (
        id_[4:12],
        id_[-6:],
        id_[:12] + "…",
        id_[:9] + "zz",
        made[4]["key"][:15],
        made[4]["prefix"][4:],
        "Dora",
    ):
        assert f"did you mean {id_} (dora)?" in run("keys", "revoke", "--", cut, exit_code=2)[1], cut
    assert "did you mean" not in run("keys", "revoke", "key_", exit_code=2)[1]
    assert made[4]["id"] in run("keys", "revoke", made[4]["key"])[1]
    entries = [json.loads(line) for line in run("audit", "--json")[0].splitlines()]
    assert [entry["subject"] for entry in entries if entry["action"] == "key.revoke"] == [one["id"] for one in made]


def test_the_commands_use_the_configured_database(postgres_server: PostgresServer) -> None:
    with postgres_server.fresh() as url:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("genconvnet")), "keys", "create", "ada", "--expires-days", "1"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={"PATH": "/usr/bin", "GENCONVNET_DATABASE_URL": url},
        )
        database = Database(url)
        row = keys.find(database, done.stdout.strip())
        assert row is not None
        assert row.expires_at is not None
        database.dispose()
