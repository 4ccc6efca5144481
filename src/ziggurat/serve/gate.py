"""Who is let in: a token or a name with its password, compared without telling how much of it was right."""

from base64 import b64decode
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.responses import Response

from ziggurat.serve.call import Call, json_response
from ziggurat.serve.settings import Settings

COOKIE: Final = "ziggurat"


class Gate:
    """The check that each request passes first."""

    def __init__(self, settings: Settings) -> None:
        self._kind = settings.auth
        self._secret = settings.secret.encode()

    @property
    def open(self) -> bool:
        """Whether everybody is let in."""
        return self._kind == "none"

    def refuse(self, call: Call) -> Response | None:
        """The response to a request without the secret; None to go on."""
        if self.open or self._admits(call):
            return None
        challenge = 'Bearer realm="ziggurat"' if self._kind == "token" else 'Basic realm="ziggurat", charset="UTF-8"'
        text = "this server asks who you are; send its token" if self._kind == "token" else "give name and password"
        headers = {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
        return json_response({"status": 401, "error": "Unauthorised", "message": text}, headers=headers, status=401)

    def _admits(self, call: Call) -> bool:
        scheme, _, said = call.header(b"authorization").partition(" ")
        if self._kind == "basic":
            return scheme.lower() == "basic" and self._is(_decoded(said))
        if scheme.lower() == "bearer" and self._is(said.strip().encode()):
            return True
        return self._is(_cookie(call.header(b"cookie"))) or self._is(token_in(call.query))

    def _is(self, said: bytes) -> bool:
        return compare_digest(said, self._secret)

    def remember(self, call: Call, response: Response) -> None:
        """Lets a browser that came with the token in its address come again without it."""
        if self._kind == "token" and call.query and self._is(token_in(call.query)):
            secure = call.base.startswith("https:")
            response.set_cookie(COOKIE, self._secret.decode(), httponly=True, samesite="lax", secure=secure)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _cookie(header: str) -> bytes:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return b""
    return b"" if morsel is None else morsel.value.encode()


def token_in(query: str) -> bytes:
    """The token that a query holds."""
    if "token=" not in query:
        return b""
    try:
        return parse_qs(query, max_num_fields=20).get("token", [""])[0].encode("utf-8", "replace")
    except ValueError:
        return b""


def user_of(settings: Settings) -> str:
    """The name of whoever was let in, where one is asked for."""
    return settings.secret.partition(":")[0] if settings.auth == "basic" else ""
