import pytest
from support import rows
from support.keys import holder

from core.jobs import requests
from core.storage import audit, datasets, keys
from core.storage.database import Database
from core.storage.errors import Conflict


def test_the_audit_log_records_successful_actions_only(database: Database) -> None:
    ada = holder(database, "ada")
    dataset = rows.add_dataset(ada.database).id
    job_id = rows.accept(ada.database, rows.train(dataset))
    for refused in (requests.resume, requests.delete):
        with pytest.raises(Conflict):
            refused(ada.database, job_id)
    for done in (requests.cancel, requests.resume, requests.cancel, requests.delete):
        done(ada.database, job_id)
    datasets.delete(ada.database, dataset)
    keys.revoke(database, ada.id)
    entries = [(entry.key_id, entry.action, entry.subject) for entry in audit.latest(database, 100)]
    verbs = ("create", "cancel", "resume", "cancel", "delete")
    assert entries == [
        (None, "key.create", ada.id),
        (ada.id, "dataset.create", dataset),
        *((ada.id, f"job.{verb}", job_id) for verb in verbs),
        (ada.id, "dataset.delete", dataset),
        (None, "key.revoke", ada.id),
    ]
    assert [entry.action for entry in audit.latest(database, 2)] == ["dataset.delete", "key.revoke"]
