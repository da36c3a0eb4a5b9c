"""Small servers of tests that read exactly as many bytes as they want."""

import socketserver


class ExactHandler(socketserver.BaseRequestHandler):
    """One connection to a small server."""

    def take(self, count: int) -> bytes:
        """Exactly so many bytes; EOFError where the client is gone."""
        taken = b""
        while len(taken) < count:
            more = self.request.recv(count - len(taken))
            if not more:
                raise EOFError
            taken += more
        return taken
