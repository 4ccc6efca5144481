# Types for the compiled form of packet_parser.py, which stays plain Python.
cimport cython

cdef int BYPASS
cdef int TERMINATED
cdef int MAX_PASSES
cdef int MAX_PLANES
cdef int MAX_LENGTH_BITS
cdef int OPEN_END
cdef int FIRST_BYPASS

cpdef int segment_room(int mode, int passes, int new) noexcept

@cython.locals(count=cython.longlong)
cpdef long long tree_nodes(long long width, long long height) noexcept


@cython.final
cdef class PacketParser:
    cdef const long long[::1] band_first
    cdef const short[::1] width
    cdef const short[::1] height
    cdef const long long[::1] block_first
    cdef const unsigned char[::1] mode
    cdef const int[::1] precinct
    cdef const int[::1] layer
    cdef long long[::1] offset
    cdef unsigned int[::1] header
    cdef long long[::1] length
    cdef long long[::1] record
    cdef unsigned char[::1] planes
    cdef bint sop
    cdef bint eph
    cdef long long visits
    cdef bint lasting
    cdef public Py_ssize_t next
    cdef public long long at
    cdef public long long records
    cdef public object rows
    cdef public Py_ssize_t packed_at
    cdef int depth
    cdef long long[::1] tree_base
    cdef long long[::1] tree_width
    cdef long long[::1] node_first
    cdef long long nodes
    cdef int[::1] value
    cdef int[::1] low
    cdef unsigned char[::1] block_bits
    cdef unsigned char[::1] block_passes
    cdef int[::1] saved
    cdef const unsigned char[::1] data
    cdef const unsigned char[::1] source
    cdef unsigned int[::1] rec_block
    cdef unsigned char[::1] rec_passes
    cdef unsigned int[::1] rec_length
    cdef Py_ssize_t pos
    cdef Py_ssize_t end
    cdef Py_ssize_t reach
    cdef int left
    cdef int byte
    cdef bint short

    cdef _make_room(self)

    cpdef release(self)

    @cython.locals(band=cython.Py_ssize_t, bands=cython.Py_ssize_t, nodes=cython.longlong, count=cython.longlong)
    cdef _make_state(self, long long blocks)

    @cython.locals(status=cython.int)
    cpdef int run(self, data, long long base, long long limit, Py_ssize_t last, packed) except -1

    @cython.locals(
        starts=cython.const_longlong[::1], counts=cython.const_longlong[::1], offsets=cython.const_longlong[::1],
        lengths=cython.const_longlong[::1], place=cython.Py_ssize_t,
    )
    cpdef Py_ssize_t run_each(self, data, where, held, offset, length) except -2

    @cython.locals(
        start=cython.longlong, first=cython.longlong, mark=cython.longlong, body=cython.longlong, retried=cython.bint,
        place=cython.Py_ssize_t, whole=cython.Py_ssize_t,
    )
    cdef int _packet(self, long long base, long long limit, bint packed) except -1

    @cython.locals(
        precinct=cython.Py_ssize_t, layer=cython.int, body=cython.longlong, band=cython.Py_ssize_t,
        block=cython.longlong, length=cython.longlong, x=cython.int, y=cython.int,
    )
    cdef Py_ssize_t _bands(self) except -3

    @cython.locals(
        width=cython.longlong, height=cython.longlong, first=cython.longlong, base=cython.longlong, depth=cython.int,
        node=cython.longlong,
    )
    cdef void _plant(self, Py_ssize_t band) noexcept

    @cython.locals(
        bits=cython.int, passes=cython.int, new=cython.int, room=cython.int, taken=cython.int,
        length=cython.longlong, body=cython.longlong,
    )
    cdef Py_ssize_t _block(self, long long block, int x, int y, int layer, int mode) except -3

    cdef int _bit(self) noexcept

    @cython.locals(value=cython.longlong)
    cdef long long _number(self, int bits) noexcept

    @cython.locals(found=cython.int)
    cdef int _log2(self, int value) noexcept

    @cython.locals(value=cython.int)
    cdef int _passes(self) noexcept

    @cython.locals(low=cython.int, node=cython.longlong, level=cython.int)
    cdef bint _below(self, long long tree, int x, int y, int threshold) noexcept

    @cython.locals(
        precinct=cython.Py_ssize_t, first=cython.longlong, last=cython.longlong, nodes=cython.longlong,
        blocks=cython.longlong,
    )
    cdef (long long, long long, long long, long long) _spans(self)

    @cython.locals(
        node=cython.longlong, nodes=cython.longlong, block=cython.longlong, blocks=cython.longlong,
        needed=cython.longlong, at=cython.longlong, index=cython.longlong,
    )
    cdef _save(self)

    @cython.locals(
        node=cython.longlong, nodes=cython.longlong, block=cython.longlong, blocks=cython.longlong,
        at=cython.longlong, index=cython.longlong,
    )
    cdef _restore(self)
