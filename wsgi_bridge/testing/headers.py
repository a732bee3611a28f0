"""Header fields of a request or a response, as a test reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers(Mapping[str, str]):
    """Fields in their order, found by name in any case; a name may stand in several."""

    def __init__(self, fields: Fields = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self._fields = [(name, value) for name, value in pairs]

    def __getitem__(self, name: str) -> str:
        """Return the value of the first field of that name; KeyError if there is none."""
        for value in self.get_all(name):
            return value
        raise KeyError(name)

    def get_all(self, name: str) -> list[str]:
        """Return the value of each field of that name."""
        wanted = name.lower()
        return [value for key, value in self._fields if key.lower() == wanted]

    def fields(self) -> list[tuple[str, str]]:
        """Return all fields as (name, value), in order."""
        return list(self._fields)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._fields))

    def __len__(self) -> int:
        return len(set(self))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


def encode_fields(fields: Iterable[tuple[str, str]]) -> list[list[bytes]]:
    """Return fields as a message has them: names lower case (MESSAGES.md section 2)."""
    return [[name.lower().encode("latin-1"), value.encode("latin-1")] for name, value in fields]


def parse_fields(lines: Iterable[bytes]) -> Headers:
    """Return the fields of a head that our own server wrote."""
    pairs = (line.decode("latin-1").partition(": ") for line in lines)
    return Headers([(name, value) for name, _, value in pairs])
