from __future__ import annotations

from pathlib import Path

import pytest
from studio_client import TOKEN, Studio

from mmt.studio.security import POLICY, is_loopback, names_of


@pytest.mark.parametrize(
    "path", ["/", "/api/status", "/wrong/", "/wrong/api/status", f"/{TOKEN[:-1]}/api/status", "//"]
)
def test_requests_without_the_token_are_refused(studio: Studio, path: str) -> None:
    response = studio.client.get(path)
    assert response.status_code == 403
    assert TOKEN not in response.text


def test_a_script_may_send_the_token_as_a_header(studio: Studio) -> None:
    answer = studio.client.get("/api/status", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert studio.client.get("/api/status", headers={"authorization": "Bearer wrong"}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "10.0.0.1:8642", ""])
def test_another_host_name_is_refused(studio: Studio, host: str) -> None:
    assert studio.client.get(f"/{TOKEN}/api/status", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_of_other_sites_are_refused(studio: Studio, headers: dict[str, str], method: str) -> None:
    assert studio.client.request(method, f"/{TOKEN}/api/pieces", headers=headers).status_code == 403


def test_the_page_may_be_opened_by_a_link(studio: Studio) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert studio.client.get(f"/{TOKEN}/", headers=headers).status_code == 200


def test_requests_of_the_page_itself_are_accepted(studio: Studio) -> None:
    headers = {"origin": "http://127.0.0.1:8642", "sec-fetch-site": "same-origin"}
    assert studio.client.post(f"/{TOKEN}/api/pieces", json={}, headers=headers).status_code == 200


def test_every_response_has_the_content_security_policy(studio: Studio) -> None:
    for path in (
        "/",
        f"/{TOKEN}/",
        f"/{TOKEN}/api",
        f"/{TOKEN}/page/main.js",
        f"/{TOKEN}/api/status",
        f"/{TOKEN}/nothing",
    ):
        headers = studio.client.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_the_policy_allows_own_scripts_only() -> None:
    assert "unsafe" not in POLICY
    assert "script-src 'self';" in POLICY
    assert "default-src 'none'" in POLICY


@pytest.mark.parametrize(
    "path",
    [
        "page/../../../../etc/passwd", "page/%2e%2e/%2e%2e/security.py", "page/..%2fapp.py", "page/app.py", "page/shared/song.py",
        "api/pieces/..%2f..%2ftoken", "api/pieces/../token", "api/pieces/0123456789abcdef/download/..%2f..%2fpiece.json",
        "api/examples/..%2f..%2fpyproject.toml", "token", "pieces",
    ],
)  # fmt: skip
def test_addresses_cannot_name_other_files(studio: Studio, path: str) -> None:
    for method in ("GET", "POST"):
        assert studio.client.request(method, f"/{TOKEN}/{path}").status_code in (400, 403, 404, 405)


def test_nothing_is_loaded_from_outside() -> None:
    folder = Path(__file__).resolve().parents[2] / "mmt"
    for path in [*(folder / "studio" / "page").iterdir(), *(folder / "music" / "page").glob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path
        assert "https://" not in text, path
        assert "innerHTML" not in text, path
        assert "eval(" not in text, path
        assert path.suffix != ".js" or text.count("\n") < 400, path


def test_large_bodies_are_refused(studio: Studio) -> None:
    large = b"x" * (17 * 2**20)
    assert studio.client.post(f"/{TOKEN}/api/files?name=a.mid", content=large).status_code == 413
    assert studio.client.post(f"/{TOKEN}/api/pieces", content=large[: 5 * 2**20]).status_code == 413
    # The same without a length in the header.
    pieces = iter([large[: 9 * 2**20], large[: 9 * 2**20]])
    assert studio.client.post(f"/{TOKEN}/api/files?name=a.mid", content=pieces).status_code == 413


def test_a_local_server_answers_only_to_local_host_names() -> None:
    assert names_of("127.0.0.1") == names_of("localhost") == {"127.0.0.1", "localhost", "[::1]"}
    assert "*" in names_of("0.0.0.0")
    assert "192.168.1.5" in names_of("192.168.1.5")
    assert "*" not in names_of("192.168.1.5")
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.5")] == [
        True, True, True, False, False,
    ]  # fmt: skip
