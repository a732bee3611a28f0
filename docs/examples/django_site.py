"""A Django project in one file: a view that pushes, and a socket for who is signed in."""

import os

import django
from django.conf import settings
from django.contrib.auth import authenticate, login
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from wsgi_bridge import Bridge, DenyConnection, Group, route
from wsgi_bridge.contrib.django import http_session_user

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
@http_session_user
def join_news(message):
    if not message.user.is_authenticated:
        raise DenyConnection("sign in first")
    Group("news").add(message.reply_channel)


@http_session_user
def comment(message):
    text = f"{message.user.get_username()}: {message['text']}"
    Group("news").send({"text": text})


application = Bridge(
    get_wsgi_application(),
    routing=[
        route("websocket.connect", join_news, path=r"^/news$"),
        route("websocket.receive", comment, path=r"^/news$"),
    ],
)
# end: socket
