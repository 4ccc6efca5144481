# Types for the compiled form of packet_picker.py, which stays plain Python.
cimport cython


@cython.locals(
    row=cython.const_int[::1], column=cython.const_int[::1], needed=cython.const_longlong[::1],
    base=cython.const_longlong[::1], first_x=cython.const_longlong[::1], width=cython.const_longlong[::1],
    first_y=cython.const_longlong[::1], height=cython.const_longlong[::1], block_first=cython.const_longlong[::1],
    packet_first=cython.const_longlong[::1], body=cython.const_longlong[::1],
    record_first=cython.const_longlong[::1], record_last=cython.const_longlong[::1],
    rec_block=cython.const_uint[::1], rec_passes=cython.const_uchar[::1], rec_length=cython.const_uint[::1],
    planes=cython.const_uchar[::1], out_planes=cython.uchar[::1], out_slot=cython.longlong[::1],
    out_passes=cython.uchar[::1], out_length=cython.uint[::1], out_offset=cython.longlong[::1],
    starts=cython.longlong[::1], ends=cython.longlong[::1],
    columns=cython.Py_ssize_t, rows=cython.Py_ssize_t, bands=cython.Py_ssize_t, band=cython.Py_ssize_t,
    count=cython.Py_ssize_t, index=cython.Py_ssize_t, packet=cython.Py_ssize_t, record=cython.Py_ssize_t,
    first=cython.longlong, wide=cython.longlong, high=cython.longlong, x0=cython.longlong, y0=cython.longlong,
    left=cython.longlong, top=cython.longlong, across=cython.longlong, x=cython.longlong, y=cython.longlong,
    low_x=cython.longlong, high_x=cython.longlong, low_y=cython.longlong, high_y=cython.longlong,
    at=cython.longlong, block=cython.longlong,
)
cpdef Py_ssize_t pick(grid, insides, out) except -1
