"""Shows the played keys on a web page, with only Python's standard library.

    hppnet live --output none --events - | python examples/events_page.py

and open the address it prints. It reads events as lines of JSON (model/EVENTS.md) and sends each to every
open page, which draws the keys. Change PAGE to show something else.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><meta charset="utf-8"><title>Piano</title>
<style>body { background: #111; margin: 0; display: flex; height: 100vh; align-items: end }
i { flex: 1; margin: 1px; height: 8px; background: #444; transition: height .1s }</style><body><script>
const key = () => document.body.appendChild(document.createElement("i"));
const keys = Array.from({length: 88}, key);
new EventSource("events").onmessage = ({data}) => {
  const {type, pitch, velocity} = JSON.parse(data);
  const lit = `height: ${velocity / 1.27}%; background: hsl(${pitch * 30} 80% 60%)`;
  if (type === "note_on" || type === "note_off") keys[pitch - 21].style = type === "note_on" ? lit : "";
};</script>"""
pages: set[queue.SimpleQueue[str]] = set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        events = self.path.endswith("/events")
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        if events:
            pages.add(lines)
        with suppress(OSError):  # the page was closed
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream" if events else "text/html")
            self.end_headers()
            while events:
                self.wfile.write(f"data: {lines.get()}\n\n".encode())
            self.wfile.write(PAGE.encode())
        pages.discard(lines)

    def log_message(self, *_: object) -> None: ...


parser = argparse.ArgumentParser(description="Shows events on a web page, as they come.")
parser.add_argument("--port", type=int, default=8123)
server = ThreadingHTTPServer(("localhost", parser.parse_args().port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"open http://localhost:{server.server_port}/", flush=True)
for line in sys.stdin:
    for page in list(pages):
        page.put(line.rstrip())
