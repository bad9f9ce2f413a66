from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from options.errors import OptionError, nearest_name
from options.option import Option, ValueSource, by_yaml_path
from options.sources.settings import Gathered, Setting
from options.values.nodes import Mapping, Node, Place, Scalar, read_document

LARGEST_FILE = 1 << 20


def read_yaml_file(path: str, *, catalogue: Sequence[Option]) -> Gathered:
    """The settings of a file in its order. Nothing of a file is used that is larger than 1 MiB."""
    try:
        text = _file_text(Path(path))
    except ValueError as error:
        return Gathered(errors=[OptionError(str(error), path, source=ValueSource.YAML)])
    return read_yaml_text(text, file=path, catalogue=catalogue)


def read_yaml_text(text: str, *, file: str, catalogue: Sequence[Option]) -> Gathered:
    reader = _Reader(file, _known_paths(catalogue), catalogue)
    document = read_document(text)
    for problem in document.problems:
        reader.refuse(problem.text, problem.place)
    if isinstance(document.root, Mapping):
        reader.read_mapping(document.root, above="")
    elif document.root is not None or not document.problems:
        place = document.root.place if document.root else Place(1, 1)
        reader.refuse("the file must hold a mapping of options", place)
    return reader.gathered


def _file_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise ValueError("the file is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text") from None


def _known_paths(catalogue: Sequence[Option]) -> dict[str, Option | None]:
    """Options by path, and the groups that lead to them."""
    paths: dict[str, Option | None] = {}
    for path, option in by_yaml_path(catalogue).items():
        *above, _ = path.split(".")
        paths |= {".".join(above[: depth + 1]): None for depth in range(len(above))}
        paths[path] = option
    return paths


@dataclass(slots=True)
class _Reader:
    file: str
    known: dict[str, Option | None]
    catalogue: Sequence[Option]
    gathered: Gathered = field(default_factory=Gathered)

    def read_mapping(self, mapping: Mapping, *, above: str) -> None:
        for key, node in mapping.pairs:
            path = f"{above}.{key.text}" if above else key.text
            option = self.known.get(path)
            if option is not None and "." not in key.text:
                place = f"{self.file}:{_value_place(key, node)}"
                self.gathered.settings.append(Setting(option, ValueSource.YAML, place, node))
            elif path in self.known and "." not in key.text:
                self._read_group(path, node)
            else:
                self._refuse_unknown(path, key)

    def _read_group(self, path: str, node: Node) -> None:
        if isinstance(node, Mapping):
            self.read_mapping(node, above=path)
        elif not (isinstance(node, Scalar) and node.is_null):
            self.refuse(f"{path} holds options, and cannot have a value of its own", node.place)

    def _refuse_unknown(self, path: str, key: Scalar) -> None:
        if path in self.known:
            self.refuse(f"{path!r} must be written as keys within keys", key.place)
            return
        elsewhere = next(self._without_key(path), None)
        if elsewhere is not None:
            ways = " or ".join(self._ways(elsewhere))
            problem = f"{path!r} cannot be set in a YAML file; use {ways}"
            self.refuse(problem, key.place, option=elsewhere.name)
            return
        nearest = self._namesake(key.text) or nearest_name(path, self.known)
        self.refuse(f"{path!r} is not an option", key.place, nearest=nearest)

    def _without_key(self, path: str) -> Iterator[Option]:
        """Options that a YAML file cannot hold, but that somebody tries to set there."""
        wanted = _folded(path)
        for option in self.catalogue:
            if not option.yaml:
                names = (option.env.removeprefix("CODER_"), option.flag, option.json_path)
                if wanted in {_folded(name) for name in names if name}:
                    yield option

    @staticmethod
    def _ways(option: Option) -> Iterator[str]:
        if option.env:
            yield f"{option.env}_FILE" if option.secret else option.env
        yield f"--{option.flag}"

    def _namesake(self, key: str) -> str:
        """The path of the only option that ends like this key, which then is in the wrong group."""
        paths = [path for path, option in self.known.items() if option and _last(path) == key]
        return paths[0] if len(paths) == 1 else ""

    def refuse(self, problem: str, place: Place, *, option: str = "", nearest: str = "") -> None:
        self.gathered.errors.append(
            OptionError(
                problem,
                f"{self.file}:{place}",
                option=option,
                source=ValueSource.YAML,
                nearest=nearest,
            )
        )


def _value_place(key: Scalar, node: Node) -> Place:
    # A blank value has no place of its own that an operator would recognise.
    return key.place if isinstance(node, Scalar) and node.is_blank else node.place


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
