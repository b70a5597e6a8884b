"""Lets creations in by twos: barrier_server.py PORT CERTIFICATE. A webhook of Kubernetes' admission.

The API server asks it of each object that somebody creates. It answers two who create an object of the same name at the
same moment, and logs `two at NAME`; one who stays alone gets an error, which the API server hands on as its own. Runs
in a pod, with the standard library; CERTIFICATE is a PEM file that holds the key too.
"""

import http.server
import json
import ssl
import sys
import threading
from collections import defaultdict

# Less than the API server waits for an answer.
WAIT_SECONDS = 20.0
_barriers: defaultdict[str, threading.Barrier] = defaultdict(lambda: threading.Barrier(2))


class Admission(http.server.BaseHTTPRequestHandler):
    """One question of the API server."""

    def do_POST(self) -> None:
        """Answer once another asks of the same name."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        name = request["name"]
        try:
            place = _barriers[name].wait(WAIT_SECONDS)
        except threading.BrokenBarrierError:
            _barriers.pop(name, None)
            self.send_error(http.HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if place == 0:
            self.log_message("two at %s", name)
        self._answer({"uid": request["uid"], "allowed": True})

    def _answer(self, response: dict[str, object]) -> None:
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        content = json.dumps(review).encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve until killed."""
    port, certificate = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = http.server.ThreadingHTTPServer(("", int(port)), Admission)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
