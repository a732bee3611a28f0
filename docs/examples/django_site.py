"""A Django project in one file: a view that pushes, and a socket for who is signed in."""

import os

import django
from django.conf import settings
from django.contrib.auth import authenticate, get_user, login
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, parse_cookie
from django.urls import path
from django.views.decorators.http import require_POST

from wsgi_bridge import Bridge, DenyConnection, Group, route

settings.configure(
    SECRET_KEY="change me",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SITE_DATABASE", "site.sqlite3"),
        }
    },
)
django.setup()


@require_POST
def sign_in(request):
    user = authenticate(username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("no such user", status=403)
    login(request, user)
    return HttpResponse("signed in")


@require_POST
def announce(request):
    Group("news").send({"text": request.POST["text"]})
    return HttpResponse("announced")


urlpatterns = [path("sign-in", sign_in), path("announce", announce)]


# start: socket
def user_of(message):
    """Return the user of the Django session whose cookie came with the opening handshake."""
    cookies = [value.decode("latin-1") for name, value in message["headers"] if name == b"cookie"]
    request = HttpRequest()
    request.COOKIES = parse_cookie("; ".join(cookies))
    SessionMiddleware(lambda request: None).process_request(request)
    try:
        return get_user(request)
    finally:
        # A consumer runs outside Django's request cycle, which would do this.
        close_old_connections()


def join_news(message):
    if not user_of(message).is_authenticated:
        raise DenyConnection("sign in first")
    Group("news").add(message.reply_channel)


application = Bridge(
    get_wsgi_application(),
    routing=[route("websocket.connect", join_news, path=r"^/news$")],
)
# end: socket
