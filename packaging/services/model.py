"""A small model as a service: POST /predict with {"data": [[…], …]}.

Trains in a moment, listens on the port in AML_PORT (5001 by itself).
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

iris = load_iris()
model = LogisticRegression(max_iter=1000).fit(iris.data, iris.target)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {"model": type(model).__name__,
                          "features": iris.feature_names})

    def do_POST(self):
        n = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(n)
        if self.path != "/predict":
            self.answer(404, {"error": "there is /predict"})
            return
        try:
            found = model.predict(json.loads(text)["data"])
        except (ValueError, KeyError, TypeError) as e:
            self.answer(400, {"error": str(e)})
            return
        self.answer(200, {"species": [str(iris.target_names[i])
                                      for i in found]})


if __name__ == "__main__":
    port = int(os.environ.get("AML_PORT", 5001))
    print(f"listening on port {port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
