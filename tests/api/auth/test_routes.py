"""/v1/session: the page signs in by a cookie."""

from support import rows
from support.http import Api, problem
from support.keys import holder

from core.storage import audit

FOREIGN = {"Origin": "https://evil.example"}


def test_the_page_signs_in_and_out_by_a_cookie(api: Api) -> None:
    ada = holder(api.database, "ada")
    dataset = rows.add_dataset(ada.database)
    own = {"Origin": str(api.client.base_url).rstrip("/")}
    problem(api.client.post("/v1/session", json={"key": "gcn_wrong"}), 401)
    answer = api.client.post("/v1/session", json={"key": ada.key}, headers=own)
    api.client.cookies.clear()
    assert answer.json()["key"]["name"] == "ada"
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    with_cookie = {"Cookie": cookie.partition(";")[0]}
    assert api.client.get(f"/v1/datasets/{dataset.id}", headers=with_cookie).status_code == 200
    body = {"kind": "train", "dataset_id": dataset.id}
    problem(api.client.post("/v1/jobs", json=body, headers=with_cookie), 403)
    problem(api.client.post("/v1/jobs", json=body, headers={**with_cookie, **FOREIGN}), 403)
    assert api.client.post("/v1/jobs", json=body, headers={**with_cookie, **own}).status_code == 202
    left = api.client.delete("/v1/session", headers={**with_cookie, **own})
    assert left.status_code == 204
    assert 'genconvnet_key=""' in left.headers["set-cookie"]


def test_the_cookie_is_marked_secure_over_https(api: Api) -> None:
    ada = holder(api.database, "ada")
    for scheme in ("http", "https"):  # set by a proxy on this machine
        answer = api.client.post("/v1/session", json={"key": ada.key}, headers={"X-Forwarded-Proto": scheme})
        assert ("Secure" in answer.headers["set-cookie"].split("; ")) is (scheme == "https")
        api.client.cookies.clear()


def test_refused_sign_ins_are_logged_and_do_not_fill_the_log(api: Api) -> None:
    holder(api.database, "ada")
    for _ in range(30):
        problem(api.client.post("/v1/session", json={"key": "gcn_wrong"}, headers={"X-Request-ID": "guess"}), 401)
    refused = [entry for entry in audit.latest(api.database, 100) if entry.action == "session.refuse"]
    assert 0 < len(refused) <= 10
    assert {entry.request_id for entry in refused} == {"guess"}
