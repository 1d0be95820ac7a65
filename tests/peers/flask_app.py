"""Flask behind a proxy, as its manual has it: ProxyFix believes what the load balancer says of the client."""

import sys

from flask import Flask, make_response, redirect, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1, x_prefix=1)


@app.get("/login")
def login():
    return "the login page"


@app.get("/away")
def away():
    return redirect(url_for("login"))


@app.get("/away/outside")
def away_outside():
    return redirect(url_for("login", _external=True))


@app.get("/cookie")
def cookie():
    response = make_response("a cookie")
    response.set_cookie("app", "1", path=request.script_root or "/")
    response.headers.add("Set-Cookie", "__Host-app=1; Path=/; Secure")
    return response


if __name__ == "__main__":
    host, port = sys.argv[1].rsplit(":", 1)
    app.run(host=host, port=int(port), threaded=True)
