"""A socket that an ordinary view authorises: it signs a ticket, and the page opens the URL."""

from flask import Flask, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer

from wsgi_bridge import Bridge, DenyConnection, Group, route

site = Flask(__name__)
tickets = URLSafeTimedSerializer("change me", salt="sockets")
TICKET_AGE = 30  # seconds between the page and its socket


@site.get("/documents/<int:number>")
def document(number):
    # Whatever the site asks before it shows a document, it has asked by now.
    ticket = tickets.dumps(number)
    return {"socket": f"{url_for('document', number=number)}/changes/{ticket}"}


def follow_document(message, number, ticket):
    try:
        allowed = tickets.loads(ticket, max_age=TICKET_AGE)
    except BadSignature:
        raise DenyConnection("no valid ticket") from None
    if allowed != int(number):
        raise DenyConnection("a ticket for another document")
    Group(f"document-{number}").add(message.reply_channel)


application = Bridge(
    site,
    routing=[
        route(
            "websocket.connect",
            follow_document,
            path=r"^/documents/(?P<number>\d+)/changes/(?P<ticket>[\w.-]+)$",
        )
    ],
)
