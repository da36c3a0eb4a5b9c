"""Records windows of the mesh with random faults: ``python -m tests.lab.mesh OUT WINDOWS [SEED]``."""

import random
import signal
import sys
from pathlib import Path

from tests.lab.mesh import plan
from tests.lab.mesh.run import Mesh, random_fault

if __name__ == "__main__":
    out, windows, seed = Path(sys.argv[1]), int(sys.argv[2]), int([*sys.argv, "1"][3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    source = random.Random(seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "names.toml").write_text(plan.owners_file())
    with Mesh(out, seed) as mesh:
        for number in range(windows):
            mesh.window(f"one-{number:03}", [random_fault(source)])
        mesh.finish()
