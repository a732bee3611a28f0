"""Who a TLS client is, by its certificate: the variables that a site finds in its environ.

The names are those of Apache's mod_ssl, which nginx's ``$ssl_client_…`` and most sites know; names
of people and organisations are written as both write them (RFC 2253, ASCII). A client's header
fields cannot pass for them: those begin with ``HTTP_``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

# RFC 2253 section 2.3 and RFC 4519: what OpenSSL calls an attribute, and what a name has.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "street",
    "domainComponent": "DC",
    "userId": "UID",
    "surname": "SN",
    "givenName": "GN",
}
_SPECIAL = frozenset(',+"\\<>;')

Name = Iterable[Iterable[tuple[str, str]]]


def describe_client(tls: ssl.SSLObject) -> dict[str, str] | None:
    """Return the variables of a client whose handshake is complete.

    None if it was not asked for a certificate. One that was shown is valid, else there would be no
    handshake.
    """
    if tls.context.verify_mode is ssl.CERT_NONE:
        return None
    certificate: dict[str, Any] | None = tls.getpeercert()
    encoded = tls.getpeercert(binary_form=True)
    if not certificate or encoded is None:
        return {"SSL_CLIENT_VERIFY": "NONE"}
    return {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN": encode_name(certificate["subject"]),
        "SSL_CLIENT_I_DN": encode_name(certificate["issuer"]),
        "SSL_CLIENT_M_SERIAL": certificate["serialNumber"],
        "SSL_CLIENT_V_START": certificate["notBefore"],
        "SSL_CLIENT_V_END": certificate["notAfter"],
        "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(encoded),
    }


def encode_name(name: Name) -> str:
    """Return a distinguished name as RFC 2253 writes it: the last part first."""
    parts = ["+".join(f"{_SHORT.get(key, key)}={_escape(value)}" for key, value in part)
             for part in name]  # fmt: skip
    return ",".join(reversed(parts))


def _escape(value: str) -> str:
    """Return a value of which nothing reads as the name's syntax, in ASCII (section 2.4)."""
    escaped = "".join(_escape_character(character) for character in value)
    if value.startswith(("#", " ")):
        escaped = "\\" + escaped
    if value.endswith(" ") and len(value) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def _escape_character(character: str) -> str:
    if character in _SPECIAL:
        return "\\" + character
    if character.isascii() and character.isprintable():
        return character
    return "".join(f"\\{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
