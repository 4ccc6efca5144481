"""A job for whoever watches or reviews it: ``/api/job``, ``/api/job/review`` and ``/api/job/review/{item}``."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import parse_qsl

from starlette.responses import Response

from ziggurat.convert.ledger.reviews import Verdict
from ziggurat.errors import SourceNotFound, UsageError
from ziggurat.serve.call import Call, json_response
from ziggurat.serve.catalogue import unquoted
from ziggurat.serve.desk import LONGEST_NOTE, Desk
from ziggurat.serve.gate import user_of
from ziggurat.serve.origin import check_origin
from ziggurat.serve.service import Service

USUAL_COUNT: Final = 20
"""Pairs that somebody compares in one sitting."""

LONGEST_NAME: Final = 200

LONGEST_QUERY: Final = 1000

_LIVE: Final = {"Cache-Control": "no-store"}


async def job(service: Service, call: Call) -> Response:
    """Answers what lies below ``/api/job``.

    Raises:
        ZigguratError: as the request deserves.
    """
    desk = service.desk
    if desk is None:
        raise SourceNotFound("no job is served here; start the server with a job's .zgj file")
    match call.segments[2:]:
        case []:
            return json_response(await asyncio.to_thread(desk.progress), headers=_LIVE)
        case ["review"]:
            return json_response(await asyncio.to_thread(desk.sample, _count(call.query)), headers=_LIVE)
        case ["review", *parts]:
            return await _judge(service, desk, call, unquoted("/".join(parts)))
    raise SourceNotFound("there is nothing here; see /api/job and /api/job/review")


async def _judge(service: Service, desk: Desk, call: Call, item: str) -> Response:
    check_origin(call, service.settings)
    verdict, note, reviewer = parse_review(await call.body())
    # Whoever proved who they are does not choose a name.
    name = user_of(service.settings) or reviewer
    await asyncio.to_thread(desk.judge, item, verdict, note, name)
    return Response(None, 204, _LIVE)


def parse_review(data: bytes) -> tuple[Verdict | None, str, str]:
    """Verdict, note and reviewer of a request's body.

    Raises:
        UsageError: if they make no sense.
    """
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, Mapping) or "verdict" not in said or said["verdict"] not in ("accept", "reject", None):
        raise UsageError('a review is {"verdict": "accept", "reject" or null, "note": "..."}')
    note, reviewer = said.get("note", ""), said.get("reviewer", "")
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise UsageError(f"the note of a review is text of at most {LONGEST_NOTE} characters")
    if not isinstance(reviewer, str) or len(reviewer) > LONGEST_NAME:
        raise UsageError(f"the reviewer of a review is text of at most {LONGEST_NAME} characters")
    return cast("Verdict | None", said["verdict"]), _text(note), _text(reviewer)


def _text(text: str) -> str:
    """Text that every reader of the ledger can take."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _count(query: str) -> int:
    if len(query) > LONGEST_QUERY:
        raise UsageError(f"the query has {len(query)} characters, {LONGEST_QUERY} are allowed")
    said = dict(parse_qsl(query)).get("count", str(USUAL_COUNT))
    if not (said.isascii() and said.isdigit() and len(said) < 6):  # noqa: PLR2004 - far above what is told
        raise UsageError(f"count={said[:40]!a} is no number of pairs")
    return int(said)
