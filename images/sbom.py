"""Write an image's bill of materials as CycloneDX: `sbom.py PYTHON FILE`.

`cyclonedx-py` lists what is installed for the interpreter PYTHON; Debian's packages of the base image are added from
dpkg's own status file. Runs with the environment that holds `cyclonedx-bom`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

DPKG_STATUS = Path("/var/lib/dpkg/status")


def main(python: str, output: Path) -> None:
    """Write the bill of materials of this file system and of the environment of `python` to `output`."""
    command = [str(Path(sys.executable).parent / "cyclonedx-py"), "environment", "--output-reproducible", python]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    bill = json.loads(listed)
    bill["components"] += debian_packages(DPKG_STATUS.read_text(encoding="utf-8"))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    output.chmod(0o644)


def debian_packages(status: str) -> Iterator[dict[str, str]]:
    """One component for each installed package of a dpkg status file."""
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status") != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        url = f"pkg:deb/debian/{name}@{quote(version)}?arch={fields['Architecture']}"
        yield {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
