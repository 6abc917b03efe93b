"""The few functions of the C library that compiled code calls itself.

`ExternalFunction` names a symbol of the process, so that compiled code is kept on disk like any other; an address taken
through ctypes could not be. Rule: only functions that neither block nor keep the pointers they are given.
"""

from typing import Final

from numba import types

_FD: Final = types.int32
_PLACE: Final = types.uintp  # an address, as `array.ctypes.data`

c_recv: Final = types.ExternalFunction("recv", types.intp(_FD, _PLACE, types.uintp, types.int32))
c_send: Final = types.ExternalFunction("send", types.intp(_FD, _PLACE, types.uintp, types.int32))
c_epoll_wait: Final = types.ExternalFunction("epoll_wait", types.int32(_FD, _PLACE, types.int32, types.int32))
c_epoll_ctl: Final = types.ExternalFunction("epoll_ctl", types.int32(_FD, types.int32, _FD, _PLACE))
c_clock_gettime: Final = types.ExternalFunction("clock_gettime", types.int32(types.int32, _PLACE))
c_errno: Final = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())  # glibc and musl
