"""Libraries of Node programs judge what hookd signs, and hookd judges what they sign; where there is a Node."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hookd
from tests.signing.vendors import TEXT, WHSEC, now

FOLDER = Path(__file__).parent / "node"
SECRETS = {"standardwebhooks": WHSEC}
SCHEMES = {
    "octokit": "github",
    "shopify": "shopify",
    "slack": "slack",
    "standardwebhooks": "standard",
    "stripe": "stripe",
}
SIGNING = ("octokit", "standardwebhooks", "stripe")
BODIES = [b'{"name":"Ada"}', '{"name":"Zoë 🎓"}'.encode(), b'{"a":\t1}\r\n']
SHOP = {"shop-domain": "ada.myshopify.com", "api-version": "2026-01", "webhook-id": "1"}
"""What a request of Shopify's has beside its signature, and its library wants to see."""

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="these judges need Node, which is not here"
)


class Judge:
    """A process that holds the libraries."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, library: str, action: str, body: bytes, **more: Any) -> Any:
        """Have a library do something; False where it raised an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"library": library, "action": action, "secret": SECRETS.get(library, TEXT), "now": now()}
        asked |= {"body": base64.b64encode(body).decode()} | more
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return answer.get("answer", False)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)
    command = ["node", "judge.mjs"]
    with subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Judge(process)
        assert process.stdin is not None
        process.stdin.close()


def signed(library: str, body: bytes) -> dict[str, str]:
    headers = hookd.sign(SCHEMES[library], SECRETS.get(library, TEXT), body, id="msg_1", now=now())
    headers = {name.lower(): value for name, value in headers.items()}
    if library == "shopify":
        headers |= {f"x-shopify-{name}": value for name, value in SHOP.items()} | {"x-shopify-topic": "orders/create"}
    return headers


@pytest.mark.parametrize("library", SCHEMES)
@pytest.mark.parametrize("body", BODIES)
def test_what_hookd_signs_is_authentic_to_them(judge: Judge, library: str, body: bytes) -> None:
    headers = signed(library, body)
    assert judge.ask(library, "verify", body, headers=headers)
    assert not judge.ask(library, "verify", body + b" ", headers=headers)


@pytest.mark.parametrize("library", SIGNING)
@pytest.mark.parametrize("body", BODIES)
def test_what_they_sign_is_authentic_to_hookd(judge: Judge, library: str, body: bytes) -> None:
    headers = judge.ask(library, "sign", body)
    secret = SECRETS.get(library, TEXT)
    assert hookd.verify(SCHEMES[library], secret, headers, body).body == body
    with pytest.raises(hookd.SignatureError):
        hookd.verify(SCHEMES[library], secret, headers, body + b" ")


def test_a_body_that_they_take_for_another_is_another_to_hookd(judge: Judge) -> None:
    """They hash what they have decoded: to some of them U+FFFD is any byte that is no text."""
    body, other = b'{"a":"\xff"}', '{"a":"\N{REPLACEMENT CHARACTER}"}'.encode()
    headers = {name.lower(): value for name, value in judge.ask("octokit", "sign", other).items()}
    assert judge.ask("octokit", "verify", body, headers=headers), "they no longer do: this lesson is over"
    with pytest.raises(hookd.SignatureError):
        hookd.verify("github", TEXT, headers, body)
