"""`make packages`: the .deb and the .rpm of one architecture, from its wheel.

Knows what lies where in a package; what is vendored, and the manual, are other files'; nfpm.yaml lists it.
usage: build.py amd64|arm64 FOLDER, which has the wheel and gets the packages"""

from __future__ import annotations

import email.utils
import gzip
import json
import os
import shutil
import string
import subprocess
import sys
import sysconfig
from pathlib import Path

import manual
import release_number
import vendored

ROOT = Path(__file__).parents[2]
MOMENT = release_number.moment()
BUILD = ROOT / "build/packages"
FORMATS = ("deb", "rpm")
MAINTAINER = os.environ.get("LAMBDA_UDF_MAINTAINER") or "The lambda-udf authors <lambda-udf@localhost>"
_STRIP = {"amd64": "x86_64-linux-gnu-strip", "arm64": "aarch64-linux-gnu-strip"}
_SERVICE = ROOT / "packaging/systemd/lambda-sidecar.service"
_DOCUMENTS = (
    *("README.md", "SECURITY.md", "CHANGELOG.md"),
    *("packaging/grafana/lambda-udf.json", "packaging/prometheus/lambda-sidecar.rules.yml"),
)


def build(architecture: str, folder: Path) -> None:
    """Puts both packages into `folder`, which has the wheel."""
    (wheel,) = folder.glob(f"lambda_udf-*_{vendored.MACHINES[architecture]}.whl")
    version = wheel.name.split("-")[1]
    root = BUILD / architecture
    shutil.rmtree(root, ignore_errors=True)
    _lay_out(root, architecture, wheel, version)
    names = (
        f"lambda-udf_{version}-1_{architecture}.deb",
        f"lambda-udf-{version}-1.{vendored.MACHINES[architecture]}.rpm",
    )
    nfpm = str(Path(sysconfig.get_path("scripts")) / "nfpm")
    for kind, name in zip(FORMATS, names, strict=True):
        config = _config(root, kind, architecture, version)
        command = [nfpm, "package", f"--config={config}", f"--packager={kind}", f"--target={folder / name}"]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": f"{MOMENT.timestamp():.0f}"}
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"error: nfpm could not make {name}: {done.stdout}{done.stderr}")
        sys.stdout.write(f"{folder / name}\n")


def _config(root: Path, kind: str, architecture: str, version: str) -> Path:
    """nfpm.yaml for one package."""
    template = string.Template((ROOT / "packaging/packages/nfpm.yaml").read_text(encoding="utf-8"))
    documents = (path for path in sorted((root / "doc").rglob("*")) if path.is_file())
    entries = [
        {
            "src": str(path),
            "dst": f"/usr/share/doc/lambda-udf/{path.relative_to(root / 'doc')}",
            "type": "doc",
            "packager": "rpm",
        }
        for path in documents
        if path.suffix != ".gz"
    ]
    values = {
        "ROOT": str(root),
        "ARCH": architecture,
        "VERSION": version,
        "MAINTAINER": MAINTAINER,
        "TIME": MOMENT.isoformat(),
        "CHANGELOG": str(root / "changelog.yaml") if kind == "rpm" else "",
        "DOCUMENTS": "\n  ".join(f"- {json.dumps(entry)}" for entry in entries),
    }
    config = BUILD / f"{architecture}-{kind}.yaml"
    config.write_text(template.substitute(values), encoding="utf-8")
    return config


def _lay_out(root: Path, architecture: str, wheel: Path, version: str) -> None:
    packages = root / "lambda-udf/python"
    vendored.unpack(vendored.fetch(architecture, BUILD / f"wheels-{architecture}"), packages)
    vendored.unpack([wheel], packages)
    _strip(packages, _STRIP[architecture])
    service = _SERVICE.read_text(encoding="utf-8")
    service = service.replace("/opt/lambda-udf/bin/lambda-sidecar", "/usr/bin/lambda-sidecar")
    (root / "lambda-sidecar.service").write_text(service, encoding="utf-8")
    _compressed(root / "lambda-sidecar.1.gz", manual.manual(version, MOMENT.date()))
    for shell in manual.SHELLS:
        (root / f"completion.{shell}").write_text(manual.completion(shell), encoding="utf-8")
    _documents(root / "doc", packages)
    _changes(root, version)
    # Whatever this account's umask and the time are.
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, times=(MOMENT.timestamp(), MOMENT.timestamp()))


def _strip(packages: Path, strip: str) -> None:
    """Takes debugging symbols out: 60 MB."""
    program = shutil.which(strip) or shutil.which("strip")
    if program is None:
        sys.exit(f"error: {strip} is not there: install the compiler of that architecture")
    subprocess.run([program, "--strip-unneeded", *packages.rglob("*.so")], check=True)  # noqa: S603


def _documents(folder: Path, packages: Path) -> None:
    folder.mkdir()
    for name in _DOCUMENTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("*.png", "*.svg"))
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    others = vendored.licences(packages)
    (folder / "copyright").write_text(
        f"lambda-udf, and everything but what is listed below:\n\n{licence}\n"
        f"In /usr/lib/lambda-udf/python, with each one's licence in its .dist-info:\n\n{others}\n"
        "Debian has the Apache License, version 2.0, in /usr/share/common-licenses/Apache-2.0, and the GNU\n"
        "General Public License, version 2, in /usr/share/common-licenses/GPL-2.\n",
        encoding="utf-8",
    )


def _changes(root: Path, version: str) -> None:
    """Of the formats' own, beside CHANGELOG.md: an entry with this version in each one's shape."""
    note = "CHANGELOG.md has what is new."
    entry = {
        "semver": version,
        "date": MOMENT.isoformat(),
        "packager": MAINTAINER,
        "changes": [{"note": note}],
    }
    (root / "changelog.yaml").write_text(json.dumps([entry]), encoding="utf-8")
    _compressed(
        root / "doc/changelog.Debian.gz",
        f"lambda-udf ({version}-1) stable; urgency=medium\n\n  * {note}\n\n"
        f" -- {MAINTAINER}  {email.utils.format_datetime(MOMENT)}\n",
    )


def _compressed(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]).absolute())
