"""Tasks: decorated functions, by the names that messages have for them.

A name is `module:function`. Who takes a message for a module that it has not imported imports it:
so consumers need not know which modules have tasks.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Arguments", "Tasks", "import_task", "name_of"]

Found = TypeVar("Found")


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function."""
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__name__)}"


def import_task(name: str) -> None:
    """Import the module of a task. Raises what it raises; a module that is not there is none."""
    module = name.partition(":")[0]
    if module in sys.modules:
        return
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
            raise


class Tasks(Generic[Found]):
    """The tasks of one decorator, and what is known of each."""

    def __init__(self, decorator: str) -> None:
        self._decorator = decorator
        self._tasks: dict[str, Found] = {}

    def add(self, name: str, task: Found) -> None:
        """Add one; it replaces one of that name."""
        self._tasks[name] = task

    def find(self, name: str) -> Found:
        """Return one; import its module if need be. Raise LookupError, and what its module raises.

        The module of one process may have another name in the next: `__main__`, or what uWSGI makes
        of a `wsgi-file`. Then it is the function of that name, if there is just one.
        """
        if name not in self._tasks:
            import_task(name)
        found = self._tasks.get(name)
        if found is not None:
            return found
        function = name.partition(":")[2]
        named = [task for key, task in self._tasks.items() if key.partition(":")[2] == function]
        if len(named) == 1:
            return named[0]
        raise LookupError(
            f"no function {name} is decorated with @{self._decorator} here: expected its module to "
            "be found by the processes that run consumers"
        )


class Arguments:
    """Arguments as bytes. They are pickles, as uWSGI's are: whoever can send can run code."""

    @staticmethod
    def encode(arguments: tuple[Any, ...], options: dict[str, Any]) -> bytes:
        """Return the bytes. Raise what pickle raises."""
        return pickle.dumps((arguments, options))

    @staticmethod
    def call(function: Callable[..., Any], encoded: bytes) -> Any:
        """Call a function with them."""
        # As safe as the layer is, which docs/howto/uwsgi-decorators.md tells.
        arguments, options = pickle.loads(encoded)  # noqa: S301
        return function(*arguments, **options)
