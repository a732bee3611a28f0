"""The head of a request: its bytes, and what they mean under a strict policy (RFC 9112, 9110).

What two parsers could read in two ways is refused with a ``RequestError``, which has the status of
the answer. The rules are those of gunicorn's own parser, its settings included; where it is laxer
than the RFCs, theirs.

``parse_head`` runs once for each request, so that it works on the whole head at a time where it
can: what most requests do not have costs them one look in a set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.request import Request, RequestError, split_absolute
from wsgi_bridge.protocols.handshake import is_websocket_upgrade

# Field names remembered in lower case. Clients choose the names, so there must be a bound.
NAMES_LIMIT = 1024
# Digits of a Content-Length: 2^63 has 19.
MAX_LENGTH_DIGITS = 18
# Letters of a method: gunicorn's own bounds, unless permit_unconventional_http_method.
METHOD_LENGTHS = range(3, 21)

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
is_token = re.compile(TOKEN).fullmatch
# RFC 9112 section 3. A target is printable ASCII (RFC 3986 section 2); a fragment is no part of it,
# and is dropped (RFC 9110 section 7.1: "excluding any fragment component").
_is_plain_target = re.compile(rb'[!-"$-~]+').fullmatch
_match_request_line = re.compile(
    rb"(" + TOKEN + rb""") ([!-"$-~]+)(?:#[!-~]*)? (HTTP/[0-9]\.[0-9])"""
).fullmatch
# RFC 9112 section 3.2.3.
_match_authority = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[^/?@:\[\]]+):[0-9]+").fullmatch
# RFC 9110 section 5.5: no control characters but tab. CR and LF are taken out two for each line.
_CONTROLS = bytes((*range(9), *range(10, 32), 127))
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")}
# RFC 9110 section 2.5: a higher minor version is read as the highest one that is known.
_VERSIONS = {b"HTTP/1.%d" % minor: "1.1" for minor in range(10)} | {b"HTTP/1.0": "1.0"}
# RFC 9110 section 5.3: what is no list cannot be there twice.
_SINGLETONS = frozenset((b"host", b"content-type", b"content-length", b"expect"))
# Codings that may stand before ``chunked``; the app gets the content as it was coded.
_CODINGS = frozenset((b"identity", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"))

# name on the wire → in lower case; names with an underscore are never in it. Nobody can push these
# out by making names up.
_names: dict[bytes, bytes] = {
    name: name.lower()
    for name in (
        b"Host Connection Accept Accept-Encoding Accept-Language User-Agent Cookie Referer Origin "
        b"Cache-Control Content-Length Content-Type Transfer-Encoding Authorization If-None-Match "
        b"If-Modified-Since X-Forwarded-For X-Forwarded-Proto X-Real-IP X-Requested-With Upgrade "
        b"host connection accept accept-encoding accept-language user-agent cookie referer"
    ).split()
}

Fields = dict[bytes, bytes]


def parse_head(head: bytes, policy: RequestPolicy, is_trusted: Callable[[], bool]) -> Request:
    """Return the request that a head, without the empty line at its end, begins.

    ``is_trusted`` says whether the peer's forwarding fields are believed. Raises RequestError.
    """
    lines = head.split(b"\r\n")
    count = len(lines)
    if count > policy.fields or len(head) > policy.shortest_limit or policy.is_lenient:
        lines = _check_lines(lines, policy)
    method, target, version = parse_request_line(lines[0], policy)
    if len(head.translate(None, _CONTROLS)) + 2 * count != len(head) + 2:
        raise RequestError(400, "a control character in the head of the request")
    del lines[0]
    try:
        headers = [
            [_names[name], value.strip()]
            for line in lines
            for name, _, value in (line.partition(b":"),)
        ]
        is_usual = True
    except KeyError:  # a name that is not known yet, has an underscore, or is none
        headers = [[_learn_name(line), line.partition(b":")[2].strip()] for line in lines]
        is_usual = False
    request = Request(method, target, version, headers, version == "1.1")
    fields: Fields = dict(headers)
    if len(fields) != len(headers) or b"" in fields.values():
        _check_fields(lines, headers)
    if not policy.special_fields.isdisjoint(fields):
        _apply_special(request, fields, policy, is_trusted)
    if not target.startswith(b"/"):
        _apply_target(request)
    if not is_usual:
        _map_underscored(request, policy, is_trusted)
    return request


def parse_request_line(line: bytes, policy: RequestPolicy) -> tuple[str, bytes, str]:
    """Return method, target and version. Raises RequestError."""
    try:
        method, target, version = line.split(b" ")
        if _is_plain_target(target):
            return _METHODS[method], target, _VERSIONS[version]
    except (KeyError, ValueError):
        pass  # what is unusual is read below
    match = _match_request_line(line)
    if match is None:
        raise RequestError(400, "the request line is not method, target and version")
    method, target, version = match.groups()
    if version not in _VERSIONS:
        raise RequestError(505, f"{version.decode()} is not served here")
    return _read_method(method, target, policy), target, _VERSIONS[version]


def check_start(data: bytes | bytearray) -> None:
    """Raise RequestError for what an empty line begins if another one follows."""
    if data.startswith(b"\r", 2):
        raise RequestError(400, "more than one empty line before a request")


def check_field_line(line: bytes) -> None:
    """Raise RequestError for a line that is no field."""
    _learn_name(line)
    check_controls(line)


def check_controls(line: bytes) -> None:
    """Raise RequestError for a line that has a control character."""
    if len(line.translate(None, _CONTROLS)) != len(line):
        raise RequestError(400, f"a control character in {line[:40]!r}")


def _learn_name(line: bytes) -> bytes:
    """Return the name of a field in lower case, and remember it. Raises RequestError."""
    name, colon, _ = line.partition(b":")
    if not colon or not is_token(name):
        raise RequestError(400, f"{line[:40]!r} is no header field")
    lower = name.lower()
    if len(_names) < NAMES_LIMIT and b"_" not in name:
        _names[name] = lower
    return lower


def _check_lines(lines: list[bytes], policy: RequestPolicy) -> list[bytes]:
    """Check the lines of a head against the limits; return them, put in order where that is due."""
    if len(lines[0]) > policy.line:
        raise RequestError(414, "the request line is too long")
    if policy.is_lenient:
        lines = _put_in_order(lines, policy)
    if len(lines) - 1 > policy.fields:
        raise RequestError(431, "the request has too many header fields")
    if max(map(len, lines[1:]), default=0) + len(b"\r\n") > policy.field_size:
        raise RequestError(431, "a header field of the request is too large")
    return lines


def _read_method(method: bytes, target: bytes, policy: RequestPolicy) -> str:
    name = method.decode("ascii")
    if name == "CONNECT" and not _match_authority(target):
        raise RequestError(400, "the target of CONNECT is host and port")
    if not policy.permits_any_method and (
        len(name) not in METHOD_LENGTHS or name != name.upper() or "#" in name
    ):
        raise RequestError(400, f"method {name[:40]!r} is unconventional")
    return name.upper() if policy.folds_method_case else name


def _put_in_order(lines: list[bytes], policy: RequestPolicy) -> list[bytes]:
    """Do what the settings permit_obsolete_folding and strip_header_spaces are lenient about."""
    kept = lines[:1]
    size = 0
    for line in lines[1:]:
        if policy.permits_folding and len(kept) > 1 and line.startswith((b" ", b"\t")):
            size += len(line) + len(b"\r\n")
            kept[-1] = kept[-1].rstrip(b" \t") + b" " + line.strip(b" \t")
        else:
            size = len(line) + len(b"\r\n")
            kept.append(_strip_name(line) if policy.strips_spaces else line)
        if size > policy.field_size:
            raise RequestError(431, "a header field of the request is too large")
    return kept


def _strip_name(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return name.rstrip(b" \t") + colon + value


def _map_underscored(
    request: Request, policy: RequestPolicy, is_trusted: Callable[[], bool]
) -> None:
    """Do what gunicorn's header_map and forwarder_headers say about names with an underscore.

    In the environ ``X_Forwarded_For`` would pass for ``X-Forwarded-For``.
    """
    kept, vouched = [], set()
    forwarded = policy.forwarder_fields if is_trusted() else frozenset()
    for field in request.headers:
        name = field[0]
        if b"_" in name:
            if name in forwarded or b"*" in forwarded or policy.header_map == "dangerous":
                vouched.add(name)
            elif policy.header_map == "drop":
                continue
            else:
                raise RequestError(400, f"header field {name[:40]!r} has an underscore")
            if name == b"script_name" and name in forwarded:
                request.root_path = field[1].decode("latin-1")
        kept.append(field)
    request.headers = kept
    if vouched:
        request.variables = {_variable(name): _join(kept, name) for name in vouched}


def _variable(name: bytes) -> str:
    return "HTTP_" + name.decode("ascii").upper().replace("-", "_")


def _join(headers: Iterable[list[bytes]], wanted: bytes) -> str:
    """Return the values of all fields that have one variable in the environ, as gunicorn joins."""
    wanted = wanted.replace(b"-", b"_")
    values = [
        value
        for name, value in headers
        # These two with a hyphen have other variables: CONTENT_LENGTH, without HTTP.
        if name.replace(b"-", b"_") == wanted and name not in (b"content-length", b"content-type")
    ]
    return b",".join(values).decode("latin-1")


def _check_fields(lines: Iterable[bytes], headers: Iterable[list[bytes]]) -> None:
    """Check what only a head with an empty field, or with one that is repeated, can do wrong."""
    for line in lines:
        if b":" not in line:
            raise RequestError(400, f"{line[:40]!r} is no header field")
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _SINGLETONS:
            raise RequestError(400, f"more than one {name.decode()} field")
        seen.add(name)


def _apply_special(
    request: Request, fields: Fields, policy: RequestPolicy, is_trusted: Callable[[], bool]
) -> None:
    """Apply the fields that say how to read a request."""
    options = _list(request, b"connection") if b"connection" in fields else ()
    if b"close" in options:
        request.keep_alive = False
    elif b"keep-alive" in options:
        request.keep_alive = True
    if b"transfer-encoding" in fields:
        _apply_coding(request, fields)
    elif b"content-length" in fields:
        request.body_size = _read_length(fields[b"content-length"])
        request.has_body = request.body_size > 0
    if b"expect" in fields:
        _apply_expect(request, fields[b"expect"])
    if b"upgrade" in fields and b"upgrade" in options:
        # Any other upgrade is declined by being ignored (RFC 9110 section 7.8).
        request.is_upgrade = not request.has_body and is_websocket_upgrade(request.headers)
    if policy.secure_headers and not policy.secure_headers.keys().isdisjoint(fields):
        _apply_scheme(request, policy, is_trusted)


def _list(request: Request, wanted: bytes) -> list[bytes]:
    """Return the members of a list field (RFC 9110 section 5.6.1), in lower case."""
    values = b",".join([value for name, value in request.headers if name == wanted]).lower()
    return [member.strip() for member in values.split(b",")]


def _apply_coding(request: Request, fields: Fields) -> None:
    """RFC 9112 section 6: chunked comes last, once, without a length, and not in HTTP/1.0."""
    if b"content-length" in fields:
        raise RequestError(400, "Content-Length beside Transfer-Encoding")
    if request.version != "1.1":
        raise RequestError(400, "Transfer-Encoding needs HTTP/1.1")
    *codings, last = _list(request, b"transfer-encoding")
    if not _CODINGS.issuperset(codings) and b"chunked" not in codings:
        raise RequestError(501, f"a transfer coding of {codings[0][:40]!r} is not implemented")
    if last != b"chunked" or b"chunked" in codings:
        raise RequestError(400, "the last transfer coding, and only that, is chunked")
    request.has_body = True
    if codings:  # nobody undoes them: what follows this message is not trusted, as in gunicorn
        request.keep_alive = False


def _read_length(value: bytes) -> int:
    if not value.isdigit() or len(value.lstrip(b"0")) > MAX_LENGTH_DIGITS:
        raise RequestError(400, f"Content-Length is {value[:40]!r}, not a number")
    return int(value)


def _apply_expect(request: Request, expect: bytes) -> None:
    """RFC 9110 section 10.1.1."""
    if expect.lower() != b"100-continue":
        raise RequestError(417, "the only expectation that can be met is 100-continue")
    request.expects_continue = request.version == "1.1" and request.has_body


def _apply_scheme(request: Request, policy: RequestPolicy, is_trusted: Callable[[], bool]) -> None:
    """Take the scheme from a trusted proxy; several that do not agree are refused."""
    if not is_trusted():
        return
    secure = policy.secure_headers
    said = {value == secure[name] for name, value in request.headers if name in secure}
    if len(said) > 1:
        raise RequestError(400, "header fields that contradict each other about the scheme")
    request.forwarded = "https" if said.pop() else "http"


def _apply_target(request: Request) -> None:
    """Apply a target that is not in origin-form (RFC 9112 section 3.2)."""
    if request.method == "CONNECT":
        request.keep_alive = False  # RFC 9112 section 3.2.3: what follows would be a tunnel's
        return
    if request.target == b"*" and request.method == "OPTIONS":
        return
    authority = split_absolute(request.target)[0]
    # Section 3.2.2: the Host field MUST be ignored, and the target's taken instead.
    request.headers[:] = [field for field in request.headers if field[0] != b"host"]
    request.headers.insert(0, [b"host", authority])
