"""The servers that meet with the faults: a process a connection, so that one can be stopped or killed alone.

Usage: python -m tests.lab.faults.server CERTIFICATES
Prints ``ready`` when all ports are open. Processes end when this one does.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

from tests.lab.faults import truth

PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 20.0
"""After which a process that nobody asks ends."""
LATE_SECONDS, SLOW_SECONDS = 0.9, 0.25
"""How long an answer takes for which no client waits, and one for which it does."""
BODY = b'{"orders": [' + b", ".join(b'{"number": %d, "items": 3}' % number for number in range(40)) + b"]}"
_prctl = ctypes.CDLL(None).prctl


def reset(connection: socket.socket) -> None:
    """Close with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(status: bytes, body: bytes) -> bytes:
    """A whole HTTP response."""
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def read_request(connection: socket.socket) -> bytes:
    """The head of the next request; empty when the client has closed."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            return b""
        request += piece
    return request


def serve(connection: socket.socket) -> None:
    """Answer requests as each of them wishes."""
    while request := read_request(connection):
        fault, _, variant = request.partition(truth.HEADER)[2].split(b"\r\n", 1)[0].partition(b" ")
        whole = answer(b"200 OK", BODY)
        if fault == b"stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif fault in (b"kill", b"reset"):
            if variant == b"half":
                connection.sendall(whole[: len(whole) // 2])
                time.sleep(0.02)
            if fault == b"reset":
                reset(connection)
                return
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == b"error":
            connection.sendall(answer(variant, b'{"error": "no"}'))
        elif fault == b"late":
            if variant == b"notices":
                select.select([connection], [], [], PATIENCE_SECONDS)
                return
            time.sleep(LATE_SECONDS)
            with contextlib.suppress(OSError):
                connection.sendall(whole)
            return
        else:
            if fault == b"slow":
                time.sleep(SLOW_SECONDS)
            connection.sendall(whole)


def meet(connection: socket.socket, port: int, contexts: dict[int, ssl.SSLContext]) -> None:
    """Serve one connection that came to `port`."""
    if port == truth.EARLY_RESET_PORT:
        reset(connection)
    elif port == truth.EARLY_STOP_PORT:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif port in contexts:
        serve(contexts[port].wrap_socket(connection, server_side=True))
    else:
        serve(connection)


def contexts_of(certificates: Path) -> dict[int, ssl.SSLContext]:
    """The TLS servers: one that nobody knows, one whose certificate is over, one that speaks TLS 1.2 only."""
    found = {}
    for port, name in (
        (truth.TLS_PORT, "unknown"),
        (truth.EXPIRED_TLS_PORT, "expired"),
        (truth.OLD_TLS_PORT, "unknown"),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / f"{name}.pem")
        if port == truth.OLD_TLS_PORT:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        found[port] = context
    return found


def answer_name(query: bytes) -> bytes | None:
    """The DNS answer (RFC 1035 section 4.1) that the first label of the name asks for; None: none."""
    end = query.index(0, 12) + 5
    wish = query[13 : 13 + query[12]].split(b"-")[0]
    if wish == b"silent":
        return None
    code = {b"missing": 3, b"broken": 2}.get(wish, 0)
    address = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([10, 77, 0, 4])
    head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, 0 if code else 1, 0, 0)
    return head + query[12:end] + (b"" if code else address)


def main() -> None:
    """Accept for ever."""
    contexts = contexts_of(Path(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ports = [truth.HTTP_PORT, truth.EARLY_RESET_PORT, truth.EARLY_STOP_PORT, *contexts]
    listening = {socket.create_server(("0.0.0.0", port), backlog=256): port for port in ports}
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("0.0.0.0", truth.DNS_PORT))
    print("ready", flush=True)
    while True:
        for ready in select.select([*listening, names], [], [])[0]:
            if ready is names:
                query, sender = names.recvfrom(4096)
                if reply := answer_name(query):
                    names.sendto(reply, sender)
                continue
            connection, _ = ready.accept()
            if os.fork() == 0:
                _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                for each in (*listening, names):
                    each.close()
                connection.settimeout(PATIENCE_SECONDS)
                with contextlib.suppress(OSError, ssl.SSLError):
                    meet(connection, listening[ready], contexts)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
