"""Every setting is known as a variable, and no other."""

from api.settings import ApiSettings
from core.runtime.variables import SETTINGS, find_unknown
from worker.settings import WorkerSettings


def test_the_variables_are_those_of_the_settings() -> None:
    assert {name.upper() for name in (*ApiSettings.model_fields, *WorkerSettings.model_fields)} == SETTINGS


def test_unknown_variables_are_found_with_the_one_that_is_meant() -> None:
    given = {"GENCONVNET_THREADS": "1", "genconvnet_niceness": "1", "GENCONVNET_TEST_SEED": "1", "PATH": "/bin"}
    assert find_unknown(given) == []
    found = {one.name: one.meant for one in find_unknown({"GENCONVNET_KEEP_JOB_DAYS": "1", "Genconvnet_Qqq": "1"})}
    assert found == {"GENCONVNET_KEEP_JOB_DAYS": "GENCONVNET_KEEP_JOBS_DAYS", "Genconvnet_Qqq": None}
