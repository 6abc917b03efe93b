"""The numba decorator with a type that mypy keeps, so that compiled functions stay checked functions.

Rule: kernels are compiled when their module is imported, never in a scan; who imports no kernel does not load numba.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(
    signature: Any, returns: Any = numba.int64, *, inner: bool = False, forced: bool = False
) -> Callable[[F], F]:
    """Compile a kernel function at import, for exactly one signature (a tuple of types), and cache it on disk.

    Divisors are never zero here (periods and ratios above zero are checked), so divisions carry no test for it. Nothing
    here allocates, and the caller keeps every array alive: `_nrt=False` leaves out the counting of references, which
    costs more than the work where a call carries many arrays.
    inner: called by compiled functions alone; without the gate for Python it is compiled in half the time
    forced: inlined wherever it is called, however long it is
    """
    options: dict[str, Any] = {
        "cache": True,
        "error_model": "numpy",
        "_nrt": False,
        "no_cfunc_wrapper": True,
        "forceinline": forced,
    }
    return cast("Callable[[F], F]", numba.njit(returns(*signature), **options, no_cpython_wrapper=inner))


def inlined(function: F) -> F:
    """Compile a small function into each caller."""
    return cast("F", numba.njit(function, inline="always"))
