"""Row 5 of DESIGN.md section 9: what an installation weighs, the package and everything it needs.

    python -m bench.install

A fresh folder gets what locks/runtime.txt names and this package; byte code is left out, as for the peers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        pip += ["--target", str(target)]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "locks/runtime.txt")], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(ROOT)], check=True)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        packages = sorted(path.name.split("-")[0] for path in target.glob("*.dist-info"))
    print(f"{size / 2**20:.1f} MB, {len(packages)} packages: {', '.join(packages)}")


if __name__ == "__main__":
    main()
