"""A server on 127.0.0.1 that speaks what Neptune's client needs to send a run, and remembers."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SECRET = "planted-token-that-nobody-may-see"


def _answer(model: str) -> dict:
    return {"responses": {"200": {"description": "", "schema": model}}}


def _model(**properties: str) -> dict:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
    }


def _named(place: str, name: str, kind: str = "string", required: bool = False) -> dict:
    one = {"name": name, "in": place, "required": required}
    return one | ({"schema": {"type": kind}} if place == "body" else {"type": kind})


def _reference(name: str) -> dict:
    return {"$ref": f"#/definitions/{name}"}


def specification() -> dict:
    """Swagger for both of the server's parts; models must be named for the client to use dots."""
    definitions = {
        "Config": _model(apiUrl="string", applicationUrl="string") | {"x-model": "Config"},
        "Tokens": _model(accessToken="string", refreshToken="string"),
        "Project": _model(
            id="string", name="string", organizationName="string", projectKey="string",
            version="integer",
        ),
        "Experiment": _model(
            id="string", type="string", shortId="string", organizationName="string",
            projectName="string", trashed="boolean",
        ),
        "Versions": _model(minCompatibleVersion="string"),
        "Trouble": _model(errorDescription="string"),
        "Projects": _model(entries="array"),
    }  # fmt: skip
    definitions["Config"]["properties"]["pyLibVersions"] = _reference("Versions")
    for name, one in definitions.items():
        one["x-model"] = name
    token = _named("header", "X-Neptune-Api-Token")
    troubles = {"type": "array", "items": _reference("Trouble")}
    upload = [_named("query", name) for name in ("experimentIdentifier", "attribute", "ext")]

    def call(name: str, *parameters: dict, gives: dict) -> dict:
        return {"operationId": name, "tags": ["api"], "parameters": list(parameters)} | _answer(
            gives
        )

    return {
        "swagger": "2.0",
        "info": {"title": "stub", "version": "1"},
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": {
            "/config": {
                "get": call(
                    "getClientConfig", token, _named("query", "alpha"), gives=_reference("Config")
                )
            },
            "/exchange": {"get": call("exchangeApiToken", token, gives=_reference("Tokens"))},
            "/project": {
                "get": call(
                    "getProject", _named("query", "projectIdentifier"), gives=_reference("Project")
                )
            },
            "/projects": {
                "get": call(
                    "listProjects",
                    *(
                        _named("query", name)
                        for name in (
                            "limit", "organizationIdentifier", "searchTerm", "userRelation",
                            "sortBy", "sortDirection",
                        )
                    ),
                    gives=_reference("Projects"),
                )
            },
            "/organizations": {
                "get": call("listOrganizations", gives={"type": "array", "items": {}})
            },
            "/experiment": {
                "post": call(
                    "createExperiment",
                    _named("header", "X-Neptune-CliVersion"),
                    _named("body", "experimentCreationParams", "object"),
                    gives=_reference("Experiment"),
                )
            },
            "/operations": {
                "post": call(
                    "executeOperations",
                    _named("query", "experimentId"),
                    _named("body", "operations", "array"),
                    gives=troubles,
                )
            },
            "/file": {"post": call("fileAtomUpload", *upload, gives={"type": "object"})},
            **{
                f"/{name}": {"post": call(name, gives={"type": "object"})}
                for name in map("fileAtomMultipartUpload{}".format, ("Start", "Part", "Finish"))
            },
        },
        "definitions": definitions,
    }  # fmt: skip


class Stub:
    """What the server has received, and how it misbehaves.

    runs: by id, operations and files. accepts: whether tokens are right. fail_after: requests for
    operations that are answered before the server breaks; None never breaks. slow: seconds each.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict] = {}
        self.known: dict[str, str] = {}
        self.accepts, self.fail_after, self.slow, self.api = True, None, 0.0, None
        self.projects = {"lab/gliomas"}
        self.requests = 0
        self.address = ""

    @property
    def token(self) -> str:
        content = {"api_address": self.address, "api_url": self.address, "api_key": SECRET}
        return base64.b64encode(json.dumps(content).encode()).decode()

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, object]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        time.sleep(self.slow)
        if path.endswith("swagger.json"):
            return 200, specification()
        if path == "/config":
            place = self.api or self.address
            return 200, {"apiUrl": place, "applicationUrl": place, "pyLibVersions": {}}
        if path == "/exchange" or path.endswith("openid-connect/token"):
            if not self.accepts:
                return 401, {}
            one = _jwt({"exp": time.time() + 3600, "azp": "client", "iss": self.address})
            if path == "/exchange":
                return 200, {"accessToken": one, "refreshToken": one}
            return 200, {"access_token": one, "refresh_token": one, "token_type": "bearer"}
        if path == "/project":
            (name,) = query["projectIdentifier"]
            if name not in self.projects:
                return 404, {}
            place, project = name.split("/")
            return 200, {
                "id": name, "name": project, "organizationName": place, "projectKey": "GLI",
                "version": 2,
            }  # fmt: skip
        if path == "/projects":
            return 200, {"entries": []}
        if path == "/organizations":
            return 200, []
        if path == "/experiment":
            own = json.loads(body)["customId"]
            made = self.known.setdefault(own, f"run-{len(self.known)}")
            self.runs.setdefault(made, {"operations": [], "files": {}})
            return 200, {
                "id": made, "type": "run", "shortId": f"GLI-{len(self.known)}",
                "organizationName": "lab", "projectName": "gliomas", "trashed": False,
            }  # fmt: skip
        if path == "/operations":
            self.requests += 1
            if self.fail_after is not None and self.requests > self.fail_after:
                return 500, {}
            self.runs[query["experimentId"][0]]["operations"] += json.loads(body)
            return 200, []
        if path == "/file":
            files = self.runs[query["experimentIdentifier"][0]]["files"]
            files[query["attribute"][0]] = body
            return 200, None
        return 404, {}


def _jwt(claims: dict) -> str:
    """A token as the client decodes it: its signature is not looked at."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    coded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"none"]]
    return ".".join(coded)


@contextmanager
def serving():
    """A `Stub` that listens on 127.0.0.1."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            status, content = stub.answer(self.command, self.path, body)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _do

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
