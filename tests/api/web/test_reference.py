"""/docs and /redoc need no other server."""

import re

import pytest
from support.http import Api


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_all_that_the_reference_loads_comes_from_the_service(api: Api, page: str) -> None:
    answer = api.client.get(page)
    assert "http:" not in answer.text
    assert "//" not in re.sub(r"<!--.*?-->", "", answer.text)
    links = re.findall(r"""(?:href|src)=["'](\w[^"':]+)["']""", answer.text)
    assert links
    for link in links:
        assert len(api.client.get(f"/{link}").content) > 100_000
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"  # what a script wants to load from elsewhere, the browser refuses
    assert not any(source.startswith(("http", "*")) for sources in policy.values() for source in sources.split())
