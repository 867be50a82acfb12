"""What people do in the studio, in a browser."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from support.service import Service
from support.waiting import until

from core.storage import keys
from core.storage.keys import CreatedKey, NewKey

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
AXE_RUN = """async (rules) => {
  const options = {resultTypes: ['violations'], ...(rules.length ? {runOnly: rules} : {})};
  const describe = ({id, nodes}) => id + ': ' + nodes.map((one) => one.html.slice(0, 200)).join(' | ');
  return (await axe.run(document, options)).violations.map(describe);
}"""
# Hand a file to the page as a drop or a paste does: [kind of event, name of the file, its bytes]. Returns whether the
# browser is kept from opening it.
HAND_OVER = """([kind, name, bytes]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
  const options = {bubbles: true, cancelable: true};
  return !document.body.dispatchEvent(kind === 'drop' ? new DragEvent(kind, {...options, dataTransfer: carried})
    : new ClipboardEvent(kind, {...options, clipboardData: carried}));
}"""
LONG: dict[str, Any] = {"iterations": 100_000}  # of a job that lasts until it is canceled


@dataclass
class Studio:
    """A service and a page of it."""

    service: Service
    page: Page
    _listening: list[tuple[str, Callable[[Any], object]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return str(self.service.http.base_url)

    def choose(self, name: str, content: bytes, media_type: str = "image/png") -> None:
        """Choose a picture on the form that is open."""
        self.page.set_input_files("input[name=images]", {"name": name, "mimeType": media_type, "buffer": content})

    def open(self, *parts: str) -> None:
        """Open a view by its address, as a new visitor."""
        self._leave()
        self.page.goto(f"{self.url}/#/{'/'.join(parts)}")
        self.page.wait_for_selector("main h1")

    def go(self, *parts: str) -> None:
        """Go to another view as a link does: the page stays, which costs a fraction of loading it again."""
        self.page.evaluate("(view) => { location.hash = `#/${view}`; }", "/".join(parts))

    def listen(self, event: str, report: Callable[[Any], object]) -> None:
        """Call `report` with each event of the page, until the test ends."""
        self.page.on(event, report)  # type: ignore[call-overload]
        self._listening.append((event, report))

    def end_listening(self) -> None:
        for event, report in self._listening:
            self.page.remove_listener(event, report)

    def forget(self, *, files: bool = False) -> None:
        """Leave the service, and delete what the browser keeps for it; with `files`, those of the page too."""
        self._leave()
        browser = self.page.context.new_cdp_session(self.page)
        browser.send("Storage.clearDataForOrigin", {"origin": self.url, "storageTypes": "all"})
        if files:
            browser.send("Network.clearBrowserCache")
        browser.detach()

    def _leave(self) -> None:
        """Leave the service, and delete what the tab keeps for it."""
        if self.page.url.startswith(self.url):
            self.page.evaluate("sessionStorage.clear()")
        self.page.goto("about:blank")

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("main h1")

    def job_id(self) -> str:
        """Wait until the address is that of a job; return its id."""
        self.page.wait_for_url("**/#/jobs/job_*")
        return self.page.url.rpartition("/")[2]

    def step(self) -> int:
        """Return the step that the job's headline names; 0 if it names none."""
        words = self.page.inner_text(".job-head .headline").partition("step ")[2]
        return int(words.partition(" ")[0].replace(",", "") or 0)

    def wait_for_status(self, words: str) -> None:
        """Wait until the job at the address has this status on the page, with its results if it is done.

        The end of a job is first waited for without the browser, which would look at the page at each frame.
        """
        if words in ("done", "canceled") and (found := re.search(r"#/jobs/(job_\w+)", self.page.url)):
            self.service.finished(found[1])
        self.page.wait_for_selector(
            f".job-head:has(.status:text-is('{words}')):not(:has(.headline:text-is('Reading the results')))"
        )

    def pixels(self, selector: str) -> list[int]:
        """Return the red, green, blue and alpha of each pixel of a canvas."""
        script = "(one) => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]"
        found: list[int] = self.page.locator(selector).evaluate(script)
        return found

    def accessibility_problems(self, *rules: str) -> list[str]:
        """Return what axe-core finds on the page as it is now, by all of its rules or only by `rules`."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found: list[str] = self.page.evaluate(AXE_RUN, list(rules))
        return found

    @contextmanager
    def with_key(self, name: str) -> Iterator[CreatedKey]:
        """Let the service ask for a key during the block, as there is one."""
        made = keys.create(self.service.database, NewKey(name))
        try:
            yield made
        finally:
            keys.revoke(self.service.database, made.row.id)
            until(lambda: self.service.http.get("/v1/jobs").is_success)
