"""Settings from the YAML file that the Config Path names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from yaml import MappingNode, Node, ScalarNode

from options.catalogue import CATALOGUE
from options.errors import OptionError, nearest_name
from options.option import Option, ValueSource, by_yaml_path
from options.sources.settings import Gathered, Setting
from options.values.yaml_text import Place, is_blank, is_null, place_of, read_document

MAX_BYTES = 1 << 20


def read_yaml_file(path: str) -> Gathered:
    """Returns the settings of a file in its order. A file larger than 1 MiB is refused whole."""
    try:
        text = _file_text(Path(path))
    except ValueError as error:
        return Gathered(errors=[OptionError(str(error), path, source=ValueSource.YAML)])
    reader = _Reader(path)
    document = read_document(text)
    for problem in document.problems:
        reader.refuse(problem.text, problem.place)
    if document.problems:
        return reader.gathered
    if isinstance(document.root, MappingNode):
        reader.read_mapping(document.root, above="")
    else:
        place = place_of(document.root) if document.root else Place(1, 1)
        reader.refuse("the file must hold a mapping of options", place)
    return reader.gathered


def _file_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError("the file is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text") from None


def _known_paths() -> dict[str, Option | None]:
    """Returns options by path, and None for the groups that lead to them."""
    paths: dict[str, Option | None] = {}
    for path, option in by_yaml_path(CATALOGUE).items():
        *above, _ = path.split(".")
        paths |= {".".join(above[: depth + 1]): None for depth in range(len(above))}
        paths[path] = option
    return paths


@dataclass(slots=True)
class _Reader:
    file: str
    known: dict[str, Option | None] = field(default_factory=_known_paths)
    gathered: Gathered = field(default_factory=Gathered)

    def read_mapping(self, mapping: MappingNode, *, above: str) -> None:
        for key, node in mapping.value:
            path = f"{above}.{key.value}" if above else str(key.value)
            option = self.known.get(path)
            if option is not None and "." not in key.value:
                place = f"{self.file}:{_value_place(key, node)}"
                self.gathered.settings.append(Setting(option, ValueSource.YAML, place, node))
            elif path in self.known and "." not in key.value:
                self._read_group(path, node)
            else:
                self._refuse_unknown(path, key)

    def _read_group(self, path: str, node: Node) -> None:
        if isinstance(node, MappingNode):
            self.read_mapping(node, above=path)
        elif not is_null(node):
            problem = f"{path} holds options, and cannot have a value of its own"
            self.refuse(problem, place_of(node))

    def _refuse_unknown(self, path: str, key: ScalarNode) -> None:
        if path in self.known:
            self.refuse(f"{path!r} must be written as keys within keys", place_of(key))
            return
        elsewhere = next(self._without_key(path), None)
        if elsewhere is not None:
            ways = " or ".join(self._ways(elsewhere))
            problem = f"{path!r} cannot be set in a YAML file; use {ways}"
            self.refuse(problem, place_of(key), option=elsewhere.name)
            return
        nearest = self._namesake(key.value) or nearest_name(path, self.known)
        self.refuse(f"{path!r} is not an option", place_of(key), nearest=nearest)

    def _without_key(self, path: str) -> Iterator[Option]:
        """Yields options of this name that a YAML file cannot hold."""
        wanted = _folded(path)
        for option in CATALOGUE:
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
        """Returns the path of the only option that ends like this key, in another group."""
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


def _value_place(key: ScalarNode, node: Node) -> Place:
    # A blank value has no place of its own that an operator would recognise.
    return place_of(key if is_blank(node) else node)


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
