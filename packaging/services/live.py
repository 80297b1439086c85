"""A page that shows the end of a file as it grows, by a websocket.

    python live.py FILE

Needs nothing but Tornado, which Jupyter brings.  Listens on the unix socket in
AML_SOCKET, or on the port in AML_PORT where there is none.
"""

import asyncio
import os
import sys

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

PAGE = """<!doctype html><title>live</title><pre id="text"></pre><script>
const ws = new WebSocket(location.origin.replace(/^http/, 'ws') + '/live');
ws.onmessage = (m) => { document.querySelector('#text').textContent += m.data };
</script>"""


class Page(tornado.web.RequestHandler):
    def get(self):
        self.write(PAGE)


class Live(tornado.websocket.WebSocketHandler):
    async def open(self):
        with open(sys.argv[1], encoding="utf-8", errors="replace") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 4096))
            while self.ws_connection is not None:
                text = f.read(4096)
                if text:
                    self.write_message(text)
                else:
                    await asyncio.sleep(0.1)


async def main():
    server = tornado.httpserver.HTTPServer(
        tornado.web.Application([("/", Page), ("/live", Live)]))
    path = os.environ.get("AML_SOCKET")
    if path:
        server.add_socket(tornado.netutil.bind_unix_socket(path, 0o660))
    else:
        server.listen(int(os.environ.get("AML_PORT", 6006)), "127.0.0.1")
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
