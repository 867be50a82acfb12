"""The page, its files and /docs: also in a browser, behind nginx and below a path of their own."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support import browser, nginx, pictures
from support.http import Api


def test_the_pages_work_below_the_path_of_a_proxy(
    api: Api, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = pictures.zipped({"a.gif": pictures.film(), "a.txt": b"a caption"})
    with nginx.running(tmp_path_factory.mktemp("nginx"), api.port) as url, browser.opened(chromium) as page:
        loaded: dict[str, int] = {}
        page.on("response", lambda answer: loaded.update({answer.url: answer.status}))
        page.goto(f"{url}/genconvnet")  # without the slash
        page.click(".card:has-text('Texture')")
        page.set_input_files("input[name=images]", {"name": "a.zip", "mimeType": "application/zip", "buffer": archive})
        page.click("button:text-is('Learn')")
        page.wait_for_selector(".job-head :text('Number 1 in the queue')")
        assert re.fullmatch(rf"{url}/genconvnet/#/jobs/job_\w+", page.url)
        notices = page.locator(".notice").all_inner_texts()
        assert notices == [
            "a.gif: an animation: only its first frame is used",
            "Skipped: a.txt (text, such as a caption)",
        ]
        page.click("text=API")
        page.click("#operations-presets-presets_listing .opblock-summary")
        page.click("text=Try it out")
        page.click("text=Execute")
        page.wait_for_selector(".live-responses-table >> text=200")
    loaded.pop(f"{url}/favicon.ico", None)
    assert len(loaded) > 10
    assert [one for one in loaded if not one.startswith((f"{url}/genconvnet", "data:", "blob:"))] == []
    assert [one for one, status in loaded.items() if status >= 400] == []


def test_files_of_the_page_need_no_key_and_are_kept_as_long_as_they_do_not_change(api: Api) -> None:
    page = api.client.get("/").text
    script = re.search(r'src="(web/\w+/main\.js)"', page)
    assert script
    found = api.client.get(f"/{script[1]}")
    assert "immutable" in found.headers["cache-control"]
    assert found.headers["content-encoding"] == "gzip"
    earlier = api.client.get("/web/0123456789abcdef/main.js", headers={"Accept-Encoding": "identity"})
    assert earlier.headers["cache-control"] == "no-cache"
    assert earlier.text == found.text
    assert api.client.get("/web/0123456789abcdef/../../routes.py").status_code == 404
    assert api.client.get("/web/0123456789abcdef/%2e%2e/routes.py").status_code == 404


def test_the_page_forbids_framing(api: Api) -> None:
    linked = re.findall(r'(?:href|src)="(web/[^"]+)"', api.client.get("/").text)
    assert {Path(path).suffix for path in linked} >= {".js", ".css"}
    for path in ("/", *(f"/{path}" for path in linked)):
        assert "frame-ancestors 'none'" in api.client.get(path).headers["content-security-policy"].split("; ")
