"""
A small Hugging Face Hub on loopback, for the real client: repositories, uploads, downloads, and faults on demand.

Its answers were derived from the requests of the client. Large files are uploaded by the LFS protocol, or with `xet=`
by Xet, whose storage is then a folder that hf_xet itself writes to and reads from.

>>> with HubEmulator() as hub:
...     hub.faults.append(Fault("POST", "/commit/", action="lose"))
...     ...  # HF_ENDPOINT=hub.url
"""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from xet_shards import xet_files


WRITE_TOKEN = "hf_" + "w" * 34
READ_TOKEN = "hf_" + "r" * 34
# Maps tokens to user and role.
TOKENS = {WRITE_TOKEN: ("anna", "write"), READ_TOKEN: ("anna", "read")}


@dataclass
class Fault:
    """
    A fault in the next requests of a kind.

    Args:
        method (`str`): `"GET"`, `"POST"`, ...
        path (`str`): regular expression to search for in the path.
        action (`int` or `str`): a status; `"cut"`: the connection is reset before the request is read; `"cut_body"`:
            in the middle of its body; `"lose"`: the request is executed, but the response never sent.
        times (`int`, *optional*, defaults to 1): number of requests that fail.
        headers (`dict[str, str]`, *optional*): headers of the response.
    """

    method: str
    path: str
    action: int | str
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blob:
    """A file in a commit: its content, and the id by which the client refers to it."""

    content: bytes
    oid: str
    is_large: bool


@dataclass(frozen=True)
class Commit:
    """A commit of a repository."""

    oid: str
    message: str
    files: dict[str, Blob]


@dataclass
class Repo:
    """A repository: the commits of each branch, oldest first."""

    private: bool
    branches: dict[str, list[Commit]]

    def at(self, revision: str) -> Commit | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        commits = [commit for branch in self.branches.values() for commit in branch]
        return next((commit for commit in commits if commit.oid == revision), None)


@dataclass
class Answer(Exception):  # noqa: N818, since it is not always an error
    """A response."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, message: str, code: str | None = None) -> Answer:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, headers)


def blob(content: bytes, is_large: bool = False) -> Blob:
    name = hashlib.sha256(content) if is_large else hashlib.sha1(b"blob %d\0" % len(content) + content)
    return Blob(content, name.hexdigest(), is_large)


class HubEmulator:
    """
    The server. `repos`, `requests` and `sent` hold its repositories and the requests and uploads so far.

    Args:
        xet (`Path`, *optional*): storage folder of large files for Xet; by default they are uploaded by LFS.
    """

    def __init__(self, xet: Path | None = None):
        self.xet = xet
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.sent: list[int] = []  # bytes of each uploaded large file
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubEmulator":
        # The argument is the interval at which it checks for shutdown.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # For the tests

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a repository: maps names to contents."""
        return {name: blob.content for name, blob in self.repos[repo].at(revision).files.items()}

    def commits(self, repo: str, revision: str = "main") -> list[str]:
        """Messages of the commits that were pushed."""
        return [commit.message for commit in self.repos[repo].branches[revision][1:]]

    def write(self, repo: str, name: str, content: str) -> None:
        """Commits a change of a file, as on the website."""
        self._commit(self.repos[repo], "main", f"Update {name}", {name: blob(content.encode())}, set())

    def count(self, method: str, path: str) -> int:
        """Number of requests of a kind so far."""
        return sum(method == asked and re.search(path, where) is not None for asked, where in self.requests)

    # The Hub

    def answer(self, method: str, url: str, token: str | None, body: bytes) -> Answer:
        """The Hub's response to a request."""
        parts = urlsplit(url)
        path = unquote(parts.path)
        if token is not None and token not in TOKENS:
            raise refusal(401, "Invalid credentials in Authorization header")
        for route_method, pattern, route in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method in route_method:
                with self._lock:
                    return route(self, token=token, body=body, query=parse_qs(parts.query), **match.groupdict())
        raise refusal(404, f"Not found: {method} {path}")

    def whoami(self, token: str | None, **_: Any) -> Answer:
        if token is None:
            raise refusal(401, "Invalid username or password.")
        user, role = TOKENS[token]
        return Answer(body={"name": user, "type": "user", "auth": {"accessToken": {"role": role}}})

    def create(self, token: str | None, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        if token is None:
            raise refusal(401, "Invalid username or password.")
        owner = asked.get("organization") or TOKENS[token][0]
        self._may_write(token, owner)
        name = f"{owner}/{asked['name']}"
        told = {"url": f"{self.url}/{name}", "name": name}
        if name in self.repos:
            return Answer(409, told | {"error": "You already created this model repo"})
        first = Commit(hashlib.sha1(name.encode()).hexdigest(), "initial commit", {".gitattributes": blob(b"")})
        self.repos[name] = Repo(asked.get("visibility") == "private", {"main": [first]})
        return Answer(body=told)

    def validate_yaml(self, body: bytes, **_: Any) -> Answer:
        content = json.loads(body)["content"]
        front = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        data = yaml.safe_load(front[1]) if front else {}
        names = [data.get("base_model"), *([data["datasets"]] if "datasets" in data else [])]
        names = [name for entry in names if entry for name in ([entry] if isinstance(entry, str) else entry)]
        errors = [
            {"message": f"{name} is no Hub id"} for name in names if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
        ]
        return Answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def info(self, token: str | None, repo: str, revision: str = "main", **_: Any) -> Answer:
        commit = self._at(token, repo, revision)
        card = commit.files.get("README.md", blob(b"")).content.decode()
        metadata = {
            name: re.search(f"^{name}: (.*)$", card, re.MULTILINE) for name in ("pipeline_tag", "library_name")
        }
        siblings = [{"rfilename": name} for name in sorted(commit.files)]
        found = {"id": repo, "modelId": repo, "sha": commit.oid, "private": self.repos[repo].private, "tags": []}
        return Answer(body=found | {"siblings": siblings} | {name: line[1] for name, line in metadata.items() if line})

    def tree(self, token: str | None, repo: str, revision: str, folder: str = "", **_: Any) -> Answer:
        files = self._at(token, repo, revision).files
        below = {name: blob for name, blob in files.items() if name.startswith(f"{folder}/" if folder else "")}
        if not below:
            raise refusal(404, f"{folder} does not exist", "EntryNotFound")
        entries = [
            {"type": "file", "path": name, "oid": blob.oid, "size": len(blob.content)} for name, blob in below.items()
        ]
        return Answer(body=entries)

    def branch(self, token: str | None, repo: str, revision: str, **_: Any) -> Answer:
        self._may_write(token, repo.split("/")[0])
        branches = self.repos[repo].branches
        if revision in branches:
            return Answer(409, {"error": "Reference already exists"})
        branches[revision] = branches["main"][:1]
        return Answer(body={})

    def preupload(self, token: str | None, repo: str, revision: str, body: bytes, **_: Any) -> Answer:
        self._may_write(token, repo.split("/")[0])
        there = self._at(token, repo, revision).files
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            | ({"oid": there[file["path"]].oid} if file["path"] in there else {})
            for file in json.loads(body)["files"]
        ]
        return Answer(body={"files": files})

    def lfs_batch(self, token: str | None, repo: str, body: bytes, **_: Any) -> Answer:
        self._may_write(token, repo.split("/")[0])
        objects = json.loads(body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.large:
                verify = {"href": f"{self.url}/{repo}.git/info/lfs/verify"}
                upload = {"href": f"{self.url}/upload/{entry['oid']}?size={entry['size']}"}
                entry["actions"] = {"upload": upload, "verify": verify}
        return Answer(body={"transfer": "basic", "objects": objects})

    def upload(self, oid: str, query: dict[str, list[str]], body: bytes, **_: Any) -> Answer:
        self.sent.append(len(body))
        if hashlib.sha256(body).hexdigest() != oid or len(body) != int(query["size"][0]):
            raise refusal(400, "The content is not what was announced.")
        self.large[oid] = body
        return Answer()

    def verify(self, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        if len(self.large.get(asked["oid"], b"")) != asked["size"]:
            raise refusal(400, "There is no such object.")
        return Answer()

    def commit(self, token: str | None, repo: str, revision: str, body: bytes, query: dict, **_: Any) -> Answer:
        owner = repo.split("/")[0]
        if "create_pr" not in query:
            self._may_write(token, owner)
        if self.xet is not None:
            # The server knows only the size of files uploaded by Xet.
            self.large |= {oid: bytes(size) for oid, (_, size) in xet_files(self.xet).items()}
        header, changed, removed = {}, {}, set()
        for line in body.splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header":
                header = value
            elif key == "file":
                changed[value["path"]] = blob(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                if value["oid"] not in self.large:
                    raise refusal(400, f"{value['path']} points to content that was never uploaded.")
                changed[value["path"]] = Blob(self.large[value["oid"]], value["oid"], is_large=True)
            elif key == "deletedFile":
                removed.add(value["path"])
        branches = self.repos[repo].branches
        if header.get("parentCommit") not in (None, branches[revision][-1].oid):
            raise refusal(412, "A commit has happened since. Please refresh and try again.")
        told = {}
        if "create_pr" in query:
            number = 1 + sum(name.startswith("refs/pr/") for name in branches)
            branches[f"refs/pr/{number}"] = branches[revision][:]
            revision = f"refs/pr/{number}"
            told = {"pullRequestUrl": f"{self.url}/{repo}/discussions/{number}"}
        oid = self._commit(self.repos[repo], revision, header["summary"], changed, removed)
        return Answer(body=told | {"commitUrl": f"{self.url}/{repo}/commit/{oid}", "commitOid": oid, "success": True})

    def resolve(self, token: str | None, repo: str, revision: str, name: str, **_: Any) -> Answer:
        commit = self._at(token, repo, revision)
        if name not in commit.files:
            raise refusal(404, f"{name} does not exist", "EntryNotFound")
        found = commit.files[name]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{found.oid}"'}
        if found.is_large and self.xet is not None:
            route = f"{self.url}/api/models/{repo}/xet-read-token/{commit.oid}"
            headers |= {"X-Xet-Hash": xet_files(self.xet)[found.oid][0], "Link": f'<{route}>; rel="xet-auth"'}
        return Answer(body=found.content, headers=headers)

    def xet_token(self, **_: Any) -> Answer:
        url, expires = f"local://{self.xet}", int(time.time()) + 3600
        headers = {
            "X-Xet-Cas-Url": url,
            "X-Xet-Access-Token": "for-xet",
            "X-Xet-Token-Expiration": str(expires),
        }
        return Answer(body={"casUrl": url, "accessToken": "for-xet", "exp": expires}, headers=headers)

    def _commit(self, repo: Repo, revision: str, message: str, changed: dict[str, Blob], removed: set[str]) -> str:
        branch = repo.branches[revision]
        files = {name: blob for name, blob in branch[-1].files.items() if name not in removed} | changed
        state = [branch[-1].oid, message, *(f"{name} {blob.oid}" for name, blob in sorted(files.items()))]
        oid = hashlib.sha1("\n".join(state).encode()).hexdigest()
        branch.append(Commit(oid, message, files))
        return oid

    def _at(self, token: str | None, repo: str, revision: str) -> Commit:
        if repo not in self.repos or (self.repos[repo].private and token is None):
            raise refusal(401 if token is None else 404, "Repository not found", "RepoNotFound")
        commit = self.repos[repo].at(revision)
        if commit is None:
            raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _may_write(self, token: str | None, owner: str) -> None:
        if token is None:
            raise refusal(401, "Invalid username or password.")
        user, role = TOKENS[token]
        if user != owner:
            raise refusal(403, f"You don't have the rights to write to the namespace {owner!r}")
        if role != "write":
            raise refusal(403, "You must use a token with write access")


REPO = r"/(?P<repo>[\w.-]+/[\w.-]+)"
API = rf"/api/models{REPO}"
REVISION = r"/(?P<revision>refs/pr/\d+|[^/]+)"
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Answer]]] = [
    (("GET",), "/api/whoami-v2", HubEmulator.whoami),
    (("POST",), "/api/repos/create", HubEmulator.create),
    (("POST",), "/api/validate-yaml", HubEmulator.validate_yaml),
    (("GET",), API, HubEmulator.info),
    (("GET",), f"{API}/revision{REVISION}", HubEmulator.info),
    (("GET",), f"{API}/tree{REVISION}(/(?P<folder>.+))?", HubEmulator.tree),
    (("POST",), f"{API}/branch{REVISION}", HubEmulator.branch),
    (("POST",), f"{API}/preupload{REVISION}", HubEmulator.preupload),
    (("POST",), f"{API}/commit{REVISION}", HubEmulator.commit),
    (("GET",), rf"{API}/xet-(read|write)-token{REVISION}", HubEmulator.xet_token),
    (("POST",), rf"{REPO}\.git/info/lfs/objects/batch", HubEmulator.lfs_batch),
    (("POST",), rf"{REPO}\.git/info/lfs/verify", HubEmulator.verify),
    (("PUT",), "/upload/(?P<oid>[0-9a-f]{64})", HubEmulator.upload),
    (("GET", "HEAD"), f"{REPO}/resolve{REVISION}/(?P<name>.+)", HubEmulator.resolve),
]


class _Handler(BaseHTTPRequestHandler):
    hub: HubEmulator
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: otherwise each response takes 40 ms more

    def _serve(self) -> None:
        self.hub.requests.append((self.command, unquote(urlsplit(self.path).path)))
        fault = self._fault()
        length = int(self.headers.get("Content-Length", 0))
        if fault is not None and fault.action in ("cut", "cut_body"):
            self.rfile.read(length // 2 if fault.action == "cut_body" else 0)
            return self._cut()
        body = self.rfile.read(length)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if fault is not None and fault.action != "lose":
            return self._send(Answer(fault.action, {"error": "Out of order"}, fault.headers))
        try:
            answer = self.hub.answer(self.command, self.path, token, body)
        except Answer as raised:
            answer = raised
        if fault is not None:
            return self._cut()
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815, as http.server calls them

    def _fault(self) -> Fault | None:
        for fault in self.hub.faults:
            if fault.times and fault.method == self.command and re.search(fault.path, unquote(self.path)):
                fault.times -= 1
                return fault
        return None

    def _cut(self) -> None:
        # A reset instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _send(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        status = answer.status
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = dict(answer.headers)
        if asked and status == 200:
            start, end = int(asked[1]), int(asked[2] or len(body) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            status, body = 206, body[start : end + 1]
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Prints nothing."""
