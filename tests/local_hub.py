"A folder served as a Hugging Face repository on 127.0.0.1, with faults on demand"
import http.server
import threading
import time
from hashlib import sha1, sha256
from pathlib import Path
from urllib.parse import unquote


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): pass

    def do_HEAD(self): self._answer(with_body=False)

    def do_GET(self): self._answer(with_body=True)

    def _answer(self, with_body):
        hub = self.server.hub
        path = unquote(self.path.split("?")[0])
        name = path.partition("/resolve/")[2].partition("/")[2]
        fault, file = hub.next_fault(name, with_body), (hub.folder / name).resolve()
        if fault == "404" or not file.is_relative_to(hub.folder) or not file.is_file():
            self._send_head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": 0})
        elif fault.isdigit():
            self._send_head(int(fault), {"Retry-After": 0, "Content-Length": 0})
        else: self._send_file(file.read_bytes(), fault, with_body)

    def _send_file(self, data, fault, with_body):
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        headers = {"Content-Length": len(data) - start, "ETag": f'"{sha256(data).hexdigest()}"'}
        if start: headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send_head(206 if start else 200, headers)
        if with_body: self._send_body(data[start:], fault)

    def _send_head(self, code, headers):
        self.send_response(code)
        headers = {**headers, "X-Repo-Commit": self.server.hub.commit}
        for key, value in headers.items(): self.send_header(key, str(value))
        self.end_headers()

    def _send_body(self, data, fault):
        if fault == "flip": data = bytes([data[0] ^ 1]) + data[1:]
        cut_off = fault in ("short", "stall")
        self.wfile.write(data[:len(data)//2] if cut_off else data)
        self.wfile.flush()
        if fault == "stall": time.sleep(60)
        if cut_off: self.close_connection = True


class LocalHub:
    """Serves a folder under the hub's protocol while the `with` block lasts.
    `faults` maps a path to its next answers: 404, 429, 500, short (half of it), flip (a wrong
    byte), stall or ok.
    `requested` lists the paths that were requested"""
    def __init__(self, folder, faults=None):
        self.folder = Path(folder).resolve()
        self.faults, self.requested = dict(faults or {}), []
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        names = sorted(file.relative_to(self.folder).as_posix() for file in files)
        self.commit = sha1("\n".join(names).encode()).hexdigest()

    def next_fault(self, name, with_body):
        "What goes wrong now; a fault of the body waits for a request that wants one"
        self.requested.append(name)
        queue = self.faults.get(name) or ["ok"]
        return queue.pop(0) if with_body or queue[0].isdigit() else "ok"

    def __enter__(self):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads, self._server.hub = True, self
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(.05,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()
