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

    @cython.locals(
        index=cython.Py_ssize_t, at=cython.longlong, band=cython.Py_ssize_t, wide=cython.const_int[::1],
        high=cython.const_int[::1], slots=cython.const_longlong[::1],
    )
    cpdef bytes header(self, widths, heights, places, int mode)

    @cython.locals(total=cython.int, record=cython.longlong)
    cdef int _count(self, long long slot) noexcept

    @cython.locals(
        leaves=cython.longlong, nodes=cython.longlong, node=cython.longlong, leaf=cython.longlong,
        slot=cython.longlong, included=cython.bint, x=cython.int, y=cython.int,
    )
    cdef _band(self, long long width, long long height, const long long[::1] places, long long at, int mode)

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
