"""Records the captures in tests/protocols/captures/: real clients and servers on loopback, seen by tcpdump.

Usage: python -m tests.protocols.recording [NAME...]
Run as root, with tcpdump and the servers of tests/lab/install.sh installed. Every module of this folder lists its
scenarios in SCENARIOS; a capture has its scenario's name. The expected files beside the captures are written by
`python -m tests.protocols.expectations`, and read by a person before they are believed.
"""

import importlib
import pkgutil
import sys

from tests.protocols import recording
from tests.protocols.recording.loopback import CAPTURES


def main() -> None:
    """Record what is asked for, by default everything."""
    CAPTURES.mkdir(exist_ok=True)
    for found in pkgutil.iter_modules(recording.__path__):
        if found.name == "__main__":
            continue
        module = importlib.import_module(f"{recording.__name__}.{found.name}")
        for scenario in getattr(module, "SCENARIOS", ()):
            if len(sys.argv) == 1 or scenario.__name__ in sys.argv[1:]:
                scenario()
                print(scenario.__name__, (CAPTURES / f"{scenario.__name__}.pcap").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
