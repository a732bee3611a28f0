"""A Flask site as its quickstart has it: routes, a session, an upload, a stream, an error page."""

from flask import Flask, Response, redirect, request, session, url_for

application = Flask(__name__)
application.secret_key = "an example's secret key is an example"


@application.route("/")
def index():
    name = session.get("name")
    return f"signed in as {name}" if name else "nobody"


@application.post("/sign-in")
def sign_in():
    session["name"] = request.form["name"]
    return redirect(url_for("index"))


@application.post("/upload")
def upload():
    stored = request.files["file"]
    return {"name": stored.filename, "size": len(stored.read()), "field": request.form["field"]}


@application.route("/rows")
def rows():
    return Response((f"row {number}\n" for number in range(1000)), mimetype="text/csv")


@application.route("/broken")
def broken():
    raise RuntimeError("this view fails")


@application.errorhandler(404)
def not_found(error):
    return "the site's own page", 404
