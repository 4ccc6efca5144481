"""Picking, out of what packet headers say, the code-blocks that are needed.

The loops over code-blocks, and nothing else: compiled where there is a compiler, with the types that
``packet_picker.pxd`` adds, interpreted as they stand where there is none.
"""

from array import array

from ziggurat.codestream.packets import BANDS, Grid, Insides, Picked
from ziggurat.errors import CorruptImage


def pick(grid: Grid, insides: Insides, out: Picked) -> int:
    """Finds what packets bring of the code-blocks needed.

    Args:
        grid: the precincts' code-blocks, and which are needed.
        insides: what the packets of these precincts say.
        out: filled with the zero planes of every slot, and with a row for every record that is needed.

    Returns:
        The number of rows.

    Raises:
        CorruptImage: if a stored index names a code-block that its precinct does not have.
    """
    row, column, needed, base = grid.row, grid.column, grid.needed, grid.base
    first_x, width, first_y, height = grid.x, grid.width, grid.y, grid.height
    block_first, packet_first = insides.block_first, insides.packet_first
    body, record_first, record_last = insides.body, insides.record_first, insides.record_last
    rec_block, rec_passes, rec_length = insides.rows.block, insides.rows.passes, insides.rows.length
    planes, out_planes = insides.planes, out.planes
    out_slot, out_passes, out_length, out_offset = out.slot, out.passes, out.length, out.offset
    starts, ends = array("q", bytes(8 * BANDS)), array("q", bytes(8 * BANDS))
    bands, columns, rows = grid.bands, grid.wide, grid.high
    count = 0
    for index in range(len(row)):
        first = block_first[index]
        for band in range(bands):
            wide, high = width[band * columns + column[index]], height[band * rows + row[index]]
            x0, y0 = first_x[band * columns + column[index]], first_y[band * rows + row[index]]
            starts[band] = first
            ends[band] = first + wide * high
            left, top = needed[4 * band], needed[4 * band + 1]
            across = needed[4 * band + 2] - left
            low_x, high_x = max(x0, left), min(x0 + wide, needed[4 * band + 2])
            low_y, high_y = max(y0, top), min(y0 + high, needed[4 * band + 3])
            for y in range(low_y, high_y):
                for x in range(low_x, high_x):
                    out_planes[base[band] + (y - top) * across + x - left] = planes[first + (y - y0) * wide + x - x0]
            first = ends[band]
        for packet in range(packet_first[index], packet_first[index + 1]):
            at = body[packet]
            band = 0
            for record in range(record_first[packet], record_last[packet]):
                block = rec_block[record]
                while band < bands and block >= ends[band]:
                    band += 1
                if band == bands or block < starts[band]:
                    raise CorruptImage(f"the index is damaged: code-block {block} is in a packet of another precinct")
                wide = width[band * columns + column[index]]
                x = first_x[band * columns + column[index]] + (block - starts[band]) % wide
                y = first_y[band * rows + row[index]] + (block - starts[band]) // wide
                left, top = needed[4 * band], needed[4 * band + 1]
                if left <= x < needed[4 * band + 2] and top <= y < needed[4 * band + 3]:
                    out_slot[count] = base[band] + (y - top) * (needed[4 * band + 2] - left) + x - left
                    out_passes[count] = rec_passes[record]
                    out_length[count] = rec_length[record]
                    out_offset[count] = at
                    count += 1
                at += rec_length[record]
    return count
