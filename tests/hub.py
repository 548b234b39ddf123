"""A server on the loopback that speaks the Hub's API as far as we need: downloads, small commits, faults on demand."""

import hashlib
import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse


@dataclass
class Repository:
    """Files by commit; the branch main points to one of them."""

    commits: dict[str, dict[str, bytes]]
    main: str
    license: str | None = "apache-2.0"
    license_name: str | None = None
    claimed_commit: str | None = None
    page: bytes | None = None
    claimed_sha256: dict[str, str] = field(default_factory=dict)
    claimed_size: dict[str, int] = field(default_factory=dict)


@dataclass
class Hub:
    """What the server serves, and what it saw.

    Attributes:
        cuts: how many more downloads of a file break off in the middle.
        requests: method and path, in order.
    """

    repositories: dict[str, Repository]
    url: str = ""
    cuts: int = 0
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(urlparse(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        place, _, revision = path.rpartition("/")
        place, _, question = place.rpartition("/")
        repository = self.hub.repositories.get(place.removeprefix("/api/datasets/"))
        if repository is None:
            self._refuse("RepoNotFound", "Repository not found")
            return
        answer: object = None
        if question == "paths-info":
            known = {entry["path"]: entry for entry in _tree(repository, revision)}
            answer = [known[each] for each in json.loads(body)["paths"] if each in known]
        elif question == "preupload":
            said = {"uploadMode": "regular", "shouldIgnore": False}
            answer = {"files": [{"path": each["path"], **said} for each in json.loads(body)["files"]]}
        elif question == "commit":
            commit = _commit(repository, [json.loads(line) for line in body.splitlines()])
            address = f"{self.hub.url}{place.removeprefix('/api')}/commit/{commit}"
            answer = {"success": True, "commitOid": commit, "commitUrl": address}
        self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        for name, repository in self.hub.repositories.items():
            path = path.replace("/api/datasets/", "/api/models/").removeprefix("/datasets")
            if path.startswith(f"/api/models/{name}/revision/"):
                self._describe(repository, name, path.rpartition("/")[2])
                return
            if path == f"/api/models/{name}":
                self._describe(repository, name, "main")
                return
            if path.startswith(f"/api/models/{name}/tree/"):
                revision, _, folder = path.removeprefix(f"/api/models/{name}/tree/").partition("/")
                self._list(repository, revision, folder)
                return
            if path.startswith(f"/{name}/resolve/"):
                revision, _, file = path.removeprefix(f"/{name}/resolve/").partition("/")
                self._send_file(repository, revision, file, with_body=with_body)
                return
        self._refuse("RepoNotFound", "Repository not found")

    def _describe(self, repository: Repository, name: str, revision: str) -> None:
        commit = repository.main if revision == "main" else revision
        if commit not in repository.commits:
            self._refuse("RevisionNotFound", f"Invalid rev id: {revision}")
            return
        siblings = [_sibling(repository, file, content) for file, content in repository.commits[commit].items()]
        if repository.page:
            self._send(repository.page, {"Content-Type": "text/html"}, with_body=True)
            return
        card = {"license": repository.license, "license_name": repository.license_name}
        answer = {"id": name, "sha": repository.claimed_commit or commit, "siblings": siblings, "cardData": card}
        self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, with_body=True)

    def _list(self, repository: Repository, revision: str, folder: str) -> None:
        entries = _tree(repository, revision)
        if "recursive=true" not in self.path.lower():
            entries = [entry for entry in entries if str(entry["path"]).rpartition("/")[0] == folder]
        if not entries:
            self._refuse("EntryNotFound", f"no {folder}")
            return
        self._send(json.dumps(entries).encode(), {"Content-Type": "application/json"}, with_body=True)

    def _send_file(self, repository: Repository, revision: str, file: str, *, with_body: bool) -> None:
        commit = repository.main if revision == "main" else revision
        content = repository.commits.get(commit, {}).get(file)
        if content is None:
            self._refuse("EntryNotFound", f"no {file}")
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(file, content)}"', "Accept-Ranges": "bytes"}
        start = 0
        wanted = self.headers.get("Range")
        if wanted and with_body:
            self.hub.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = with_body and self.hub.cuts > 0 and len(content) > 1000
        if cut:
            self.hub.cuts -= 1
        self._send(content[start:], headers, with_body=with_body, status=206 if start else 200, cut=cut)

    def _send(
        self, body: bytes, headers: dict[str, str], *, with_body: bool, status: int = 200, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def _refuse(self, code: str, message: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": message}, with_body=False, status=404)


def _commit(repository: Repository, lines: list[dict[str, Any]]) -> str:
    """Put files of a commit's lines beside those that are there, and return the commit."""
    added = {line["value"]["path"]: b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"}
    commit = hashlib.sha1(repr(sorted(added)).encode(), usedforsecurity=False).hexdigest()
    repository.commits[commit] = {**repository.commits[repository.main], **added}
    repository.main = commit
    return commit


def _tree(repository: Repository, revision: str) -> list[dict[str, object]]:
    """Return the files of a revision, and their folders."""
    files = repository.commits[repository.main if revision == "main" else revision]
    folders = {"/".join(parts[:end]) for parts in (file.split("/") for file in files) for end in range(1, len(parts))}
    return [
        *({"type": "directory", "path": each, "size": 0, "oid": _git_sha1(each.encode())} for each in sorted(folders)),
        *(
            {"type": "file", "path": file, "size": len(content), "oid": _git_sha1(content)}
            for file, content in files.items()
        ),
    ]


def _sibling(repository: Repository, file: str, content: bytes) -> dict[str, object]:
    size = repository.claimed_size.get(file, len(content))
    sibling: dict[str, object] = {"rfilename": file, "size": size, "blobId": _git_sha1(content)}
    if file.endswith(".safetensors"):
        digest = repository.claimed_sha256.get(file, hashlib.sha256(content).hexdigest())
        sibling["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
    return sibling


def _etag(file: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if file.endswith(".safetensors") else _git_sha1(content)


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
