"""People at the page without browsers: each speaks to the server as a browser would."""

from __future__ import annotations

import json
import re
import time
import urllib.request
import uuid
from http.cookiejar import CookieJar
from queue import SimpleQueue
from socket import SHUT_RDWR
from threading import Thread

from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from websocket import WebSocketException, create_connection

PATIENCE = 240
"""Seconds until something that does not come is missed: a busy machine is slow."""


class Person:
    """One person with one tab: gets the page, connects to its kernel, reads `state`."""

    def __init__(self, address, connect=True):
        self.server, self.token = address.split("/?token=")
        self.cookies = CookieJar()
        self.web = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        page = self.web.open(address, timeout=PATIENCE).read().decode()
        self.kernel = re.search(r'"?kernelId"?:\s*"([\w-]+)"', page)[1]
        self.state, self.said, self.socket = {}, [], None
        self.heard = SimpleQueue()
        if connect:
            self.connect()

    def cookie(self, name):
        return next(one.value for one in self.cookies if one.name == name)

    def channel(self, kernel, protocols=("v1.kernel.websocket.jupyter.org",)):
        """A web socket to a kernel."""
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.cookies)
        where = self.server.replace("http", "ws", 1) + f"/api/kernels/{kernel}/channels"
        return create_connection(
            f"{where}?session_id={uuid.uuid4().hex}",
            cookie=cookies,
            origin=self.server,
            subprotocols=list(protocols),
            timeout=PATIENCE,
        )

    def connect(self):
        self.socket = self.channel(self.kernel)
        Thread(target=self._listen, daemon=True).start()
        control = {"comm_id": uuid.uuid4().hex, "target_name": "jupyter.widget.control"}
        self.tell("comm_open", control | {"data": {}})
        self.tell("comm_msg", {"comm_id": control["comm_id"], "data": {"method": "request_states"}})
        while True:
            data = self.hear()["content"].get("data", {})
            if data.get("method") == "update_states":
                break
        kind = "gliomakit.app.page.Page"
        for name, model in data["states"].items():
            if model["state"].get("_anywidget_id") == kind:
                self.model, self.state = name, model["state"]["state"]

    def tell(self, kind, content, buffers=()):
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "s"}
        message = {"header": header | {"version": "5.3", "date": "2026-01-01T00:00:00Z"}}
        message |= {"parent_header": {}, "content": content}
        message["metadata"] = {"version": "1.0.0"}  # of the widgets' control protocol
        parts = [message[p] for p in ("header", "parent_header", "metadata", "content")]
        parts = [json.dumps(part).encode() for part in parts] + [bytes(b) for b in buffers]
        self.socket.send_binary(serialize_msg_to_ws_v1(parts, "shell"))

    def _listen(self):
        # All the time, as browsers do: a server hangs up on who does not answer its pings.
        try:
            while True:
                self.heard.put(self.socket.recv())
        except (OSError, WebSocketException) as error:
            self.heard.put(error)

    def hear(self):
        data = self.heard.get(timeout=PATIENCE)
        if isinstance(data, Exception):
            raise data
        _, parts = deserialize_msg_from_ws_v1(data)
        header, _, _, content = (json.loads(part) for part in parts[:4])
        return {"header": header, "content": content, "buffers": parts[4:]}

    def say(self, kind, buffers=(), **more):
        """What the page's own script would send."""
        content = {"method": "custom", "content": {"kind": kind, **more}}
        self.tell("comm_msg", {"comm_id": self.model, "data": content}, buffers)

    def wait(self, good, seconds=PATIENCE):
        """Read until `good(state)`; `said` collects what else the page was sent."""
        end = time.monotonic() + seconds
        while not good(self.state):
            assert time.monotonic() < end, self.state
            self._read()
        return self.state

    def answer(self, kind):
        """The next message of that kind, and its bytes."""
        while True:
            for one in self.said:
                if one[0]["kind"] == kind:
                    self.said.remove(one)
                    return one
            self._read()

    def _read(self):
        message = self.hear()
        content = message["content"]
        if message["header"]["msg_type"] != "comm_msg" or content["comm_id"] != self.model:
            return
        data = content["data"]
        if data["method"] == "update":
            self.state = data["state"].get("state", self.state)
        elif data["method"] == "custom":
            self.said.append((data["content"], message.get("buffers", [])))

    def upload(self, *files):
        """Send files one after the other, (name, bytes), as the page does."""
        for name, content in files:
            self.say("begin", key=1, name=name, size=len(content))
            number = self.answer("go")[0]["id"]
            self.state = self.state | {"case": None}  # what it was before is no answer
            for start in range(0, len(content), 4 << 20):
                piece = content[start : start + (4 << 20)]
                self.say("piece", [piece], id=number, offset=start, name=name)
        return self

    def get(self, what):
        """A file that the page offers: its name and bytes."""
        self.say("get", what=what)
        told, buffers = self.answer("file")
        return told["name"], bytes(buffers[0])

    def goodbye(self):
        """What a browser sends when the tab is closed."""
        form = f"_xsrf={self.cookie('_xsrf')}".encode()
        where = f"{self.server}/voila/api/shutdown/{self.kernel}"
        return self.web.open(urllib.request.Request(where, form), timeout=PATIENCE).status

    def vanish(self):
        """What is seen of a browser that broke down."""
        self.socket.sock.shutdown(SHUT_RDWR)
