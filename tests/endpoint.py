"""A server on this machine that speaks the OpenAI protocol, well or badly: faults happen on a real socket."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OBJECT = json.dumps({"summary": "Calm.", "strengths": ["light"], "weaknesses": ["tilt"], "suggestions": ["crop"]})


@dataclass
class Server:
    """What it will do, request by request, and what it saw; `ok` when nothing is left to do.

    Attributes:
        plan: `ok`, a status code, `429 after`, `cut`, `stall`, `hang`, `echo`, `html`, `empty`, `refuse`, `redirect` or
            words.
        finish: why its answers end, as it says.
        usage: what it counts.
        before: is called when a request has come and is not answered yet, with its number from 1.
        requests: bodies.
        keys: authorization headers.

    """

    plan: list[str | int] = field(default_factory=list)
    finish: str = "stop"
    usage: dict[str, int] | None = field(
        default_factory=lambda: {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    )
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    logprobs: list[tuple[str, float]] = field(default_factory=list)
    elsewhere: str = ""
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    before: Callable[[int], None] = lambda _: None
    gone: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(*plan: str | int) -> Iterator[Server]:  # noqa: C901 - one server, each fault a case
    server = Server(list(plan))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.requests.append(body)
                server.keys.append(self.headers.get("Authorization", ""))
                step = server.plan.pop(0) if server.plan else "ok"
                server.before(len(server.requests))
            self._do(step, body)

        def _do(self, step: str | int, body: dict[str, Any]) -> None:  # noqa: C901 - as above
            match step:
                case "429 after":
                    self._send(429, json.dumps({"error": {"message": "slow down"}}), {"Retry-After": "1"})
                case "echo":
                    said = f"bad key {self.headers.get('Authorization')}"
                    self._send(401, json.dumps({"error": {"message": said}}))
                case int():
                    self._send(step, json.dumps({"error": {"message": f"code {step}"}}))
                case "html":
                    self._send(200, "<html>busy</html>")
                case "redirect":
                    self._send(307, "", {"Location": server.elsewhere})
                case "stall":
                    time.sleep(3)
                    self.close_connection = True
                case "hang":
                    server.gone.wait(60)
                    self.close_connection = True
                case "cut":
                    text = self._reply("ok")
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text.encode()[: len(text) // 2])
                    self.close_connection = True
                case _:
                    self._send(200, self._reply(str(step)))

        def _reply(self, step: str) -> str:
            words = {"ok": OBJECT, "empty": "", "refuse": None}.get(step, step)
            first = [{"token": token, "logprob": value, "bytes": None} for token, value in server.logprobs]
            content = [{**first[0], "top_logprobs": first}] if first else None
            choice = {
                "index": 0,
                "finish_reason": server.finish,
                "message": {"role": "assistant", "content": words, "refusal": "no" if step == "refuse" else None},
                "logprobs": {"content": content, "refusal": None} if content else None,
            }
            return json.dumps(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "m",
                    "choices": [choice],
                    "usage": server.usage,
                }
            )

        def _send(self, code: int, text: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        server.gone.set()
        http.shutdown()
        http.server_close()
        thread.join()
