"""Allowed hosts and origins: normalized to what browsers send, or refused at the start."""

import pytest

from api.settings import ApiSettings
from core.runtime.settings import BadSettings


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.org/", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80/", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("https://müller.example", "https://xn--mller-kva.example"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_an_allowed_origin_is_normalized(monkeypatch: pytest.MonkeyPatch, given: str, sent: str) -> None:
    monkeypatch.setenv("GENCONVNET_ALLOWED_ORIGINS", f"https://first.example, {given},")
    assert ApiSettings().allowed_origins == ("https://first.example", sent)


@pytest.mark.parametrize(
    "given",
    [
        *("*", "null", "example.org", "example.org:8000", "//example.org", "https://", "https://*.example.org"),
        *("https://example.org/app", "https://example.org?x", "https://ada@example.org", "https://example.org:x"),
        *("https://example.org:99999", "https://a b.example", "https://example.org;https://b.example"),
    ],
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GENCONVNET_ALLOWED_ORIGINS", given)
    with pytest.raises(BadSettings, match=r"^GENCONVNET_ALLOWED_ORIGINS: .+") as refused:
        ApiSettings()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *(("Example.org", "example.org"), ("example.org:8000", "example.org"), ("10.0.0.1", "10.0.0.1")),
        *(("::1", "::1"), ("[::1]:8000", "::1"), ("fe80::1", "fe80::1"), ("müller.example", "xn--mller-kva.example")),
    ],
)
def test_an_allowed_host_is_normalized(monkeypatch: pytest.MonkeyPatch, given: str, name: str) -> None:
    monkeypatch.setenv("GENCONVNET_ALLOWED_HOSTS", given)
    assert ApiSettings().allowed_hosts == (name,)


@pytest.mark.parametrize("given", ["*", "*.example.org", "https://example.org", "example.org/app", "a b"])
def test_what_is_no_host_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GENCONVNET_ALLOWED_HOSTS", given)
    with pytest.raises(BadSettings, match=r"^GENCONVNET_ALLOWED_HOSTS: .+"):
        ApiSettings()


@pytest.mark.parametrize(
    "given",
    [
        *("127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.1:", "127.0.0.1:port", "127.0.0.1:0", "127.0.0.1:65536"),
        *("127.0.0.256:8000", "127.0.0.1;8000", "127.0.0.1:8000:8000", "[127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_a_published_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Else a service that its operator believes to be local would count as public, or the other way round."""
    monkeypatch.setenv("GENCONVNET_PUBLISHED_ON", given)
    with pytest.raises(BadSettings, match=r"^GENCONVNET_PUBLISHED_ON: .* as in 127\.0\.0\.1:8000"):
        ApiSettings()
