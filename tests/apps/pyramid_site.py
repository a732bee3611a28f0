"""A Pyramid site: views by decorator, a signed session, a JSON renderer, a static view."""

from pathlib import Path

from pyramid.config import Configurator
from pyramid.response import FileIter, Response
from pyramid.session import SignedCookieSessionFactory


def hello(request):
    return {"hello": request.matchdict["name"], "count": request.session.get("count", 0)}


def add(request):
    request.session["count"] = request.session.get("count", 0) + int(request.POST["number"])
    return Response("added")


def source(request):
    # The server closes it, by closing the app iterable.
    stream = Path(__file__).open("rb")  # noqa: SIM115
    return Response(content_type="text/plain", app_iter=FileIter(stream, 100))


def make_application():
    with Configurator() as config:
        config.set_session_factory(SignedCookieSessionFactory("an example's secret"))
        for name, pattern, view, options in (
            ("hello", "/hello/{name}", hello, {"renderer": "json"}),
            ("add", "/add", add, {"request_method": "POST"}),
            ("source", "/source", source, {}),
        ):
            config.add_route(name, pattern)
            config.add_view(view, route_name=name, **options)
        config.add_static_view("static", str(Path(__file__).parent))
        return config.make_wsgi_app()


application = make_application()
