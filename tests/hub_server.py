"""As much of the Hugging Face hub as a model folder needs to go there and come back: over HTTP,
with files in memory. Large files go by the LFS protocol; Xet is left out.

Whoever's token is "hf_ann" may write to ann/...; "bob/open" is public and bob's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What it holds.

    Attributes:
        private: Of each repository.
        commits: Of each, oldest first, all files of each commit.
        uploaded: Large files by their sha256.
    """

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)

    def add(self, repo: str, *, private: bool) -> None:
        self.private.setdefault(repo, private)
        self.commits.setdefault(repo, [{}])

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]]:
        every = self.commits[repo]
        number = len(every) - 1 if revision == "main" else int(revision, 16)
        return f"{number:040x}", every[number]

    def commit(self, repo: str, lines: list[bytes]) -> str:
        files = dict(self.commits[repo][-1])
        for line in lines:
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.uploaded[value["oid"]]
            elif one["key"] == "deletedFile":
                del files[value["path"]]
        self.commits[repo].append(files)
        return self.at(repo, "main")[0]


def blob_id(data: bytes) -> str:
    """Git's."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    hub.add("bob/open", private=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def answer(self, body: Any = b"", *, code: int = 200, **headers: str) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def may_write(self, repo: str) -> bool:
            said = self.headers.get("Authorization")
            return repo.startswith("ann/") and said == "Bearer hf_ann"

        def do_GET(self) -> None:
            match unquote(urlsplit(self.path).path).strip("/").split("/"):
                case [a, b, "resolve", revision, *path]:
                    sha, files = hub.at(f"{a}/{b}", revision)
                    data = files["/".join(path)]
                    self.answer(data, X_Repo_Commit=sha, ETag=f'"{blob_id(data)}"')
                case ["api", "models", a, b, *_] if f"{a}/{b}" not in hub.private:
                    self.answer({"error": "no"}, code=404, X_Error_Code="RepoNotFound")
                case ["api", "models", a, b, "tree", revision]:
                    files = hub.at(f"{a}/{b}", revision)[1]
                    self.answer(
                        [
                            {"type": "file", "path": k, "size": len(v), "oid": blob_id(v)}
                            for k, v in files.items()
                        ]
                    )
                case ["api", "models", a, b, *rest]:
                    sha, files = hub.at(f"{a}/{b}", rest[1] if rest else "main")
                    siblings = [{"rfilename": one} for one in files]
                    facts = {"id": f"{a}/{b}", "sha": sha, "siblings": siblings}
                    self.answer(facts | {"private": hub.private[f"{a}/{b}"]})
                case _:
                    self.answer({"error": self.path}, code=500)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            hub.uploaded[self.path.strip("/")] = self.body()
            self.answer()

        def do_POST(self) -> None:
            data = self.body()
            match unquote(urlsplit(self.path).path).strip("/").split("/"):
                case ["api", "validate-yaml"]:
                    is_card = json.loads(data)["content"].startswith("---\n")
                    self.answer({"errors": [], "warnings": []}, code=200 if is_card else 400)
                case ["api", "repos", "create"]:
                    said = json.loads(data)
                    repo = f"{said['organization']}/{said['name']}"
                    if not self.may_write(repo):
                        self.answer({"error": "no rights"}, code=403)
                    else:
                        code = 409 if repo in hub.private else 200
                        hub.add(repo, private=said.get("visibility") == "private")
                        self.answer({"url": f"{hub.url}/{repo}"}, code=code)
                case ["api", "models", a, b, *_] if not self.may_write(f"{a}/{b}"):
                    self.answer({"error": "no rights"}, code=403)
                case ["api", "models", _, _, "preupload", _]:
                    files = [
                        {
                            "path": one["path"],
                            "uploadMode": "lfs" if "safetensors" in one["path"] else "regular",
                            "shouldIgnore": False,
                        }
                        for one in json.loads(data)["files"]
                    ]
                    self.answer({"files": files})
                case [_, _, "info", "lfs", "objects", "batch"]:
                    objects = [
                        one | {"actions": {"upload": {"href": f"{hub.url}/{one['oid']}"}}}
                        for one in json.loads(data)["objects"]
                    ]
                    self.answer({"transfer": "basic", "objects": objects})
                case ["api", "models", a, b, "commit", _]:
                    sha = hub.commit(f"{a}/{b}", data.splitlines())
                    url = f"{hub.url}/{a}/{b}/commit/{sha}"
                    self.answer({"commitUrl": url, "commitOid": sha})
                case _:
                    self.answer({"error": self.path}, code=500)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
