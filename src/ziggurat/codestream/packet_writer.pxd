# Types for the compiled form of packet_writer.py, which stays plain Python.
cimport cython


cdef class PacketWriter:
    cdef const unsigned char[::1] planes
    cdef const unsigned char[::1] cap
    cdef const long long[::1] first
    cdef const unsigned char[::1] passes
    cdef const unsigned int[::1] length
    cdef unsigned int[::1] used
    cdef bytearray out
    cdef int byte
    cdef int left
    cdef long long[::1] tree_base
    cdef long long[::1] tree_width
    cdef int depth
    cdef int[::1] low
    cdef unsigned char[::1] known
    cdef int[::1] value

    cdef long long[::1] places
    cdef int[::1] wide
    cdef int[::1] high

    @cython.locals(
        count=cython.Py_ssize_t, needed=cython.const_longlong[::1], total=cython.longlong, band=cython.Py_ssize_t,
        slots=cython.longlong[::1], header_end=cython.longlong[::1], slot_end=cython.longlong[::1],
        headers=bytearray, found=cython.longlong, index=cython.Py_ssize_t, leaves=cython.longlong,
        leaf=cython.longlong, slot=cython.longlong, bands=cython.Py_ssize_t,
    )
    cpdef packets(self, grid, int mode)

    @cython.locals(
        needed=cython.const_longlong[::1], base=cython.const_longlong[::1], first_x=cython.const_longlong[::1],
        width=cython.const_longlong[::1], first_y=cython.const_longlong[::1], height=cython.const_longlong[::1],
        row=cython.Py_ssize_t, column=cython.Py_ssize_t, band=cython.Py_ssize_t, bands=cython.Py_ssize_t,
        wide=cython.Py_ssize_t, high=cython.Py_ssize_t, leaves=cython.longlong, leaf=cython.longlong,
        x0=cython.longlong, y0=cython.longlong, left=cython.longlong, top=cython.longlong, right=cython.longlong,
        bottom=cython.longlong, x=cython.longlong, y=cython.longlong, slot=cython.longlong,
    )
    cdef long long _lay(self, grid, Py_ssize_t index) except -1

    cpdef bytes header(self, widths, heights, places, int mode)

    @cython.locals(leaf=cython.longlong, band=cython.Py_ssize_t, at=cython.longlong)
    cdef bytes _header(self, Py_ssize_t bands, long long leaves, int mode)

    @cython.locals(total=cython.int, record=cython.longlong)
    cdef int _count(self, long long slot) noexcept

    @cython.locals(
        leaves=cython.longlong, nodes=cython.longlong, node=cython.longlong, leaf=cython.longlong,
        slot=cython.longlong, included=cython.bint, x=cython.int, y=cython.int,
    )
    cdef _band(self, long long width, long long height, long long at, int mode)

    @cython.locals(
        base=cython.longlong, depth=cython.int, above=cython.longlong, wide=cython.longlong, y=cython.longlong,
        x=cython.longlong, parent=cython.longlong, node=cython.longlong,
    )
    cdef void _grow(self, long long width, long long height, long long nodes) noexcept

    @cython.locals(low=cython.int, level=cython.int, node=cython.longlong)
    cdef void _tag(self, long long tree, int x, int y, int threshold)

    @cython.locals(
        total=cython.int, bits=cython.int, writing=cython.int, passes=cython.int, record=cython.longlong,
        end=cython.longlong, room=cython.int, taken=cython.int, length=cython.longlong, shift=cython.int,
    )
    cdef _segments(self, long long slot, int mode)

    cdef _put_passes(self, int count)

    cdef _put(self, int bit)

    @cython.locals(bit=cython.int)
    cdef _put_number(self, long long value, int bits)

    cdef bytes _flushed(self)
