"""One recording of the fault lab: two hosts, the link between them, captures at both, and the truth."""

import datetime
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.lab import servers
from tests.lab.faults.truth import CLIENT, SERVER
from tests.lab.network import Network
from tests.lab.recording import Counts, Recording
from tests.lab.run import run_directory

SNAPLEN = 262_144
LONGEST_CALL_SECONDS = 2.0
AFTERWARDS_SECONDS = 2.5
"""In which late answers come, and orphaned connections are given up."""


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """What is recorded; the options of ``python -m tests.lab.faults``."""

    out: Path
    count: int = 100
    """Calls of each class of fault."""
    faults: tuple[str, ...] = ()
    """Which; all where none is named."""
    seed: int = 1


def record_faults(options: FaultOptions) -> dict[str, Counts]:
    """Record ``client.pcap``, ``shop1.pcap`` and ``truth.jsonl``. Returns what the captures counted.

    Raises `RuntimeError` where a process fails or the kernel drops packets, `TimeoutError` where calls do not end.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    for old in options.out.glob("*.pcap"):
        old.unlink()
    with run_directory() as directory, Network([CLIENT, SERVER], offload=True) as network:
        _lose(network)
        make_certificates(directory)
        server = network.start(
            SERVER, [sys.executable, "-m", "tests.lab.faults.server", str(directory)], stdout=subprocess.PIPE
        )
        wait = servers.start_postgresql(network, directory, SERVER)
        assert server.stdout is not None
        if server.stdout.readline() != b"ready\n":
            raise RuntimeError("the servers did not start")
        wait()
        recording = Recording(network)
        for host in (CLIENT, SERVER):
            recording.start(host, "eth0", options.out / f"{host}.pcap", SNAPLEN)
        recording.wait_until_listening()
        numbers = (str(options.count), str(options.seed))
        injector = network.start(
            CLIENT,
            [
                sys.executable, "-m", "tests.lab.faults.client", str(options.out / "truth.jsonl"), *numbers,
                *options.faults,
            ],
        )  # fmt: skip
        if injector.wait(60 + options.count * LONGEST_CALL_SECONDS * 2):
            raise RuntimeError("the injector failed")
        time.sleep(AFTERWARDS_SECONDS)
        counts = recording.stop()
    if dropped := {name: count.dropped for name, count in counts.items() if count.dropped}:
        raise RuntimeError(f"the kernel dropped packets: {dropped}")
    return counts


def _lose(network: Network) -> None:
    """Put the link that loses chosen packets between the client and the bridge."""
    network.replace_link(CLIENT, "tests.lab.faults.link")


def make_certificates(directory: Path) -> None:
    """``unknown.pem``, which no one vouches for, and ``expired.pem``, each with its key."""
    now = datetime.datetime.now(datetime.UTC)
    for name, last in (("unknown", now + datetime.timedelta(days=1)), ("expired", now - datetime.timedelta(days=1))):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(last)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
