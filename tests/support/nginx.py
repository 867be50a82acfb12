"""A running nginx with a configuration of docs/."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from support.http import free_port
from support.tools import require
from support.waiting import PATIENCE_SECONDS, until

EXAMPLE = Path(__file__).parents[2] / "docs/proxies/nginx.conf"
AROUND = """
daemon off;
master_process off;
error_log stderr;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@contextmanager
def running(folder: Path, backend_port: int) -> Iterator[str]:
    """Yield the URL of an nginx that publishes a service as docs/proxies/nginx.conf says."""
    program, port = require("nginx", "apt-get install nginx"), free_port()
    site = EXAMPLE.read_text()
    for text, ours in (("listen 80;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8000", f"127.0.0.1:{backend_port}")):
        assert text in site
        site = site.replace(text, ours)
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    log = folder / "nginx.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(folder / "nginx.conf")], stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(url, verify=False).status_code > 0
        except httpx.TransportError:
            return False

    try:
        until(answers, describe=log.read_text)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
