"""Builds the files of a release from the commit of a clean checkout.

Everything is built twice, in two clones, and compared byte by byte.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from pip_requirements_parser import RequirementsFile

from bin.release_files import ReleaseError, output, write_sums
from coderapi import __version__

PROJECT = Path(__file__).resolve().parent.parent
TARGET = PROJECT / "dist" / f"coderapi-{__version__}"
NAME = f"coderapi {__version__}"
SCHEMA = ("docs/openapi.yml", "docs/openapi-coderd.yml")
PLATFORMS = "linux/amd64,linux/arm64"


def build(repository: str) -> None:
    """Writes the files of the release into dist/. Raises: ReleaseError."""
    if changed := output("git", "status", "--porcelain", cwd=PROJECT):
        raise ReleaseError(f"commit or remove these changes first:\n{changed}".rstrip())
    notes = release_notes((PROJECT / "CHANGELOG.md").read_text(), __version__)
    with tempfile.TemporaryDirectory(prefix="coderapi-release-") as scratch:
        first, second = (_built(Path(scratch, name), repository, notes) for name in "ab")
        _compare(first, second)
        shutil.rmtree(TARGET, ignore_errors=True)
        TARGET.parent.mkdir(exist_ok=True)
        shutil.copytree(first, TARGET)
        image = _image(Path(scratch, "a", "source"), repository)
    write_sums(TARGET)
    sys.stdout.write(f"{TARGET}\n")
    for file in sorted(TARGET.iterdir()):
        sys.stdout.write(f"  {file.name}  {file.stat().st_size:,} bytes\n")
    sys.stdout.write(f"{image}\n\n{_by_hand()}")


def release_notes(changelog: str, version: str) -> str:
    """Returns the section of the release. Raises: ReleaseError if it has no section with a date."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(
        rf"{heading}\n+(.*?)(?=^## |^\[[^]]+\]: |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if not found:
        raise ReleaseError(
            f'CHANGELOG.md has no heading "## [{version}] - YYYY-MM-DD". Rename the heading of the '
            "unreleased changes."
        )
    return f"# coderapi {version}\n\n{found[1].strip()}\n"


def software_bill(lock: Path, *, at: datetime) -> str:
    """Returns the packages of a lock file, with the hashes of their files, as CycloneDX 1.6."""
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{NAME} {at.isoformat()}"))
    bom.metadata.timestamp = at
    bom.metadata.component = Component(
        name="coderapi",
        version=__version__,
        type=ComponentType.APPLICATION,
        purl=PackageURL("pypi", name="coderapi", version=__version__),
        bom_ref="coderapi",
    )
    for component in _components(lock):
        bom.components.add(component)
    bom.register_dependency(bom.metadata.component, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _components(lock: Path) -> Iterator[Component]:
    for each in RequirementsFile.from_file(str(lock)).requirements:
        [specifier] = each.specifier
        sums = [item.removeprefix("sha256:") for item in each.hash_options]
        package = PackageURL("pypi", name=each.name, version=specifier.version)
        yield Component(
            name=each.name,
            version=specifier.version,
            type=ComponentType.LIBRARY,
            purl=package,
            bom_ref=str(package),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sum_) for sum_ in sums],
        )


def _built(directory: Path, repository: str, notes: str) -> Path:
    """Clones the commit, and builds its files in a directory, which is returned."""
    source, target = directory / "source", directory / "files"
    output("git", "clone", "--quiet", "--no-hardlinks", PROJECT, source)
    commit = output("git", "rev-parse", "--short", "HEAD", cwd=source).strip()
    seconds = output("git", "log", "-1", "--format=%ct", cwd=source).strip()
    built = {"commit": commit, "repository": repository}
    (source / "coderapi" / "build.json").write_text(json.dumps(built) + "\n")
    # hatchling reads this variable. It makes the bytes independent of the time of the build.
    environment = os.environ | {"SOURCE_DATE_EPOCH": seconds}
    hatchling = (sys.executable, "-m", "hatchling", "build", "--directory", target)
    output(*hatchling, cwd=source, env=environment)
    for name in ("requirements.lock", *SCHEMA):
        shutil.copy(source / name, target)
    at = datetime.fromtimestamp(int(seconds), UTC)
    (target / "sbom.cdx.json").write_text(software_bill(source / "requirements.lock", at=at))
    (target / "NOTES.md").write_text(notes)
    return target


def _compare(first: Path, second: Path) -> None:
    names = [{file.name for file in each.iterdir()} for each in (first, second)]
    differ = names[0] ^ names[1]
    differ |= {
        name
        for name in names[0] & names[1]
        if (first / name).read_bytes() != (second / name).read_bytes()
    }
    if differ:
        raise ReleaseError(f"two builds of one commit differ: {', '.join(sorted(differ))}")


def _image(source: Path, repository: str) -> str:
    """Builds the image for each platform, if podman is installed. Returns what was done."""
    if shutil.which("podman") is None:
        return "  The image was not built: podman is not installed."
    tag = f"localhost/coderapi-release:{__version__}"
    archive = TARGET / f"coderapi-{__version__}.oci.tar"
    epoch = output("git", "log", "-1", "--format=%ct", cwd=source).strip()
    file = ["--file", "docker/Dockerfile", "--timestamp", epoch]
    if repository:
        file += ["--label", f"org.opencontainers.image.source={repository}"]
    digest_file = TARGET / "image-digest.txt"
    push: list[str | Path] = [
        "podman",
        "manifest",
        "push",
        "--all",
        "--digestfile",
        digest_file,
        tag,
    ]
    try:
        # Without this, the platforms of an earlier build would stay in the manifest.
        output("podman", "manifest", "rm", "--ignore", tag)
        output(
            "podman", "build", "--platform", PLATFORMS, "--manifest", tag, *file, ".", cwd=source
        )
        output(*push, f"oci-archive:{archive}:coderapi:{__version__}")
    except ReleaseError as error:
        return f"  The image was not built: {error}"
    digest = digest_file.read_text()
    return f"  {archive.name} for {PLATFORMS}: {digest}"


def _by_hand() -> str:
    return f"""Now, by hand:
  1. bin/release check {TARGET.relative_to(PROJECT)}
  2. git tag --sign v{__version__} --message "{NAME}" && git push origin v{__version__}
  3. Sign {TARGET.name}/SHA256SUMS, for example with `gpg --armor --detach-sign`.
  4. Publish the files as the release v{__version__} of the repository, with NOTES.md as its text.
  5. Upload the wheel and the sdist to the package index, and the image to its registry.
  6. bin/keep_release, and commit its files, so that the next release is tested with their data.
"""
