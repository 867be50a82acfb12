"""The page and /docs in a browser, behind nginx and below a path of their own: all that they load is there."""

import pytest
from support import browser, nginx, pictures
from support.http import Api


def test_the_pages_work_below_the_path_of_a_proxy(api: Api, tmp_path_factory: pytest.TempPathFactory) -> None:
    film = pictures.encoded(
        pictures.decoded(pictures.stripes()), "GIF", save_all=True, append_images=[pictures.colors(48, 48)]
    )
    archive = pictures.zipped({"a.gif": film, "a.txt": b"a caption"})
    with nginx.running(tmp_path_factory.mktemp("nginx"), api.port) as url, browser.opened() as page:
        loaded: dict[str, int] = {}
        page.on("response", lambda answer: loaded.update({answer.url: answer.status}))
        page.goto(f"{url}/genconvnet/")
        page.wait_for_selector("#train [name=preset] option[value=quick]", state="attached")
        page.set_input_files(
            "#train [name=images]", {"name": "a.zip", "mimeType": "application/zip", "buffer": archive}
        )
        page.click("#train button")
        page.wait_for_selector("article header :text('queued, position 1')")
        notice = ["a.gif: an animation: only its first frame is used", "Skipped: a.txt (text, such as a caption)"]
        assert page.inner_text("#notice").split("\n") == notice
        page.click("text=API reference")
        page.click("#operations-presets-presets_listing .opblock-summary")
        page.click("text=Try it out")
        page.click("text=Execute")
        page.wait_for_selector(".live-responses-table >> text=200")
    loaded.pop(f"{url}/favicon.ico", None)
    assert len(loaded) > 10
    assert [one for one in loaded if not one.startswith((f"{url}/genconvnet", "data:", "blob:"))] == []
    assert [one for one, status in loaded.items() if status >= 400] == []
