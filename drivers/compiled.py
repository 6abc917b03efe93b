"""The numba decorator with a type that mypy keeps."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(signature: Any, returns: Any = numba.int64, *, inner: bool = False) -> Callable[[F], F]:
    """Compile a function at import, for exactly one signature (a tuple of types), and cache it on disk.

    Nothing compiled here allocates, and the caller keeps every array alive: `_nrt=False` leaves out the counting of
    references, which costs more than the work where a call carries many arrays.
    inner: called by compiled functions alone; without the gate for Python it is compiled in half the time
    """
    options: dict[str, Any] = {
        "cache": True,
        "error_model": "numpy",
        "_nrt": False,
        "no_cfunc_wrapper": True,
        "forceinline": inner,
    }
    return cast("Callable[[F], F]", numba.njit(returns(*signature), **options, no_cpython_wrapper=inner))
