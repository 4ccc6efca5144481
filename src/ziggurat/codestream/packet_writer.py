"""Writing packet headers of a single layer (ISO/IEC 15444-1 B.10).

The loops over code-blocks, and nothing else: compiled where there is a compiler, with the types that
``packet_writer.pxd`` adds, interpreted as they stand where there is none.
"""

from array import array

from ziggurat.codestream.packet_parser import FIRST_LENGTH_BITS, HIGH_THROUGHPUT, UNSEEN, segment_room, tree_nodes
from ziggurat.codestream.packets import BANDS, Column, Grid, Slots, Written


class PacketWriter:
    """Writes packet headers of a codestream of one layer.

    Args:
        slots: the code-blocks.
    """

    def __init__(self, slots: Slots) -> None:
        self.planes, self.cap, self.first = slots.planes, slots.cap, slots.first
        self.passes, self.length, self.used = slots.passes, slots.length, slots.used
        self.out = bytearray()
        self.byte = 0
        self.left = 8
        self.tree_base = array("q", bytes(8 * 40))
        self.tree_width = array("q", bytes(8 * 40))
        self.depth = 0
        self.low = array("i")
        self.known = array("B")
        self.value = array("i")
        self.places = array("q")
        self.wide = array("i", bytes(4 * BANDS))
        self.high = array("i", bytes(4 * BANDS))

    def packets(self, grid: Grid, mode: int) -> Written:
        """One packet for each precinct.

        Args:
            grid: the precincts' code-blocks, of which those needed have slots.
            mode: how passes fall into segments.
        """
        count = len(grid.row)
        needed = grid.needed
        total = 0
        for band in range(grid.bands):
            total += (needed[4 * band + 2] - needed[4 * band]) * (needed[4 * band + 3] - needed[4 * band + 1])
        slots = array("q", bytes(8 * total))
        header_end, slot_end = array("q", bytes(8 * count)), array("q", bytes(8 * count))
        headers = bytearray()
        found = 0
        for index in range(count):
            leaves = self._lay(grid, index)
            headers += self._header(grid.bands, leaves, mode)
            for leaf in range(leaves):
                slot = self.places[leaf]
                if slot >= 0 and self._count(slot) > 0:
                    slots[found] = slot
                    found += 1
            header_end[index] = len(headers)
            slot_end[index] = found
        return Written(bytes(headers), header_end, slots, slot_end)

    def _lay(self, grid: Grid, index: int) -> int:
        """Finds the slot of every code-block of a precinct; how many code-blocks there are."""
        needed, base = grid.needed, grid.base
        first_x, width, first_y, height = grid.x, grid.width, grid.y, grid.height
        row, column = grid.row[index], grid.column[index]
        leaves = 0
        for band in range(grid.bands):
            self.wide[band] = width[band * grid.wide + column]
            self.high[band] = height[band * grid.high + row]
            leaves += self.wide[band] * self.high[band]
        if len(self.places) < leaves:
            self.places = array("q", bytes(8 * leaves))
        leaf = 0
        for band in range(grid.bands):
            x0, y0 = first_x[band * grid.wide + column], first_y[band * grid.high + row]
            left, top, right, bottom = (
                needed[4 * band],
                needed[4 * band + 1],
                needed[4 * band + 2],
                needed[4 * band + 3],
            )
            for y in range(y0, y0 + self.high[band]):
                for x in range(x0, x0 + self.wide[band]):
                    slot = -1
                    if left <= x < right and top <= y < bottom:
                        slot = base[band] + (y - top) * (right - left) + x - left
                    self.places[leaf] = slot
                    leaf += 1
        return leaves

    def header(self, widths: Column, heights: Column, places: Column, mode: int) -> bytes:
        """One packet's header.

        Args:
            widths: code-blocks across, by subband.
            heights: code-blocks down.
            places: the slot of every code-block, subband by subband, -1 where it is left out.
            mode: how passes fall into segments.
        """
        self.places = array("q", places)
        self.wide, self.high = array("i", widths), array("i", heights)
        return self._header(len(widths), len(places), mode)

    def _header(self, bands: int, leaves: int, mode: int) -> bytes:
        """The header of a packet whose code-blocks have been laid out."""
        self.out = bytearray()
        self.byte = 0
        self.left = 8
        for leaf in range(leaves):
            if self.places[leaf] >= 0 and self._count(self.places[leaf]) > 0:
                break
        else:
            return b"\0"
        self._put(1)
        at = 0
        for band in range(bands):
            if self.wide[band] and self.high[band]:
                self._band(self.wide[band], self.high[band], at, mode)
                at += self.wide[band] * self.high[band]
        return self._flushed()

    def _count(self, slot: int) -> int:
        """Passes of a slot that are kept; notes how many of its records that takes."""
        total = 0
        record = self.first[slot]
        while record < self.first[slot + 1] and total < self.cap[slot]:
            total += self.passes[record]
            record += 1
        self.used[slot] = record - self.first[slot]
        if total > self.cap[slot]:
            total = self.cap[slot]
        return total

    def _band(self, width: int, height: int, at: int, mode: int) -> None:
        leaves = width * height
        nodes = tree_nodes(width, height)
        if len(self.value) < 2 * nodes:
            self.value = array("i", bytes(8 * nodes))
            self.low = array("i", bytes(8 * nodes))
            self.known = array("B", bytes(2 * nodes))
        for node in range(2 * nodes):
            self.value[node] = UNSEEN
            self.low[node] = 0
            self.known[node] = 0
        for leaf in range(leaves):
            slot = self.places[at + leaf]
            included = slot >= 0 and self._count(slot) > 0
            self.value[leaf] = 0 if included else 1
            if included:
                self.value[nodes + leaf] = self.planes[slot]
        self._grow(width, height, nodes)
        for leaf in range(leaves):
            slot = self.places[at + leaf]
            x, y = leaf % width, leaf // width
            self._tag(0, x, y, 1)
            if self.value[leaf] == 0:
                self._tag(nodes, x, y, self.planes[slot] + 1)
                self._segments(slot, mode)

    def _grow(self, width: int, height: int, nodes: int) -> None:
        """Lays out both trees and carries the smallest values up."""
        base = 0
        depth = 0
        while True:
            self.tree_base[depth] = base
            self.tree_width[depth] = width
            depth += 1
            if width <= 1 and height <= 1:
                break
            above = base + width * height
            wide = (width + 1) >> 1
            for y in range(height):
                for x in range(width):
                    parent = above + (y >> 1) * wide + (x >> 1)
                    node = base + y * width + x
                    if self.value[node] < self.value[parent]:
                        self.value[parent] = self.value[node]
                    if self.value[nodes + node] < self.value[nodes + parent]:
                        self.value[nodes + parent] = self.value[nodes + node]
            base = above
            width, height = wide, (height + 1) >> 1
        self.depth = depth

    def _tag(self, tree: int, x: int, y: int, threshold: int) -> None:
        """Says, of a leaf, whether its value is below the threshold, and if it is, which it is (B.10.2)."""
        low = 0
        for level in range(self.depth - 1, -1, -1):
            node = tree + self.tree_base[level] + (y >> level) * self.tree_width[level] + (x >> level)
            if self.low[node] > low:
                low = self.low[node]
            while low < threshold:
                if low >= self.value[node]:
                    if not self.known[node]:
                        self._put(1)
                        self.known[node] = 1
                    break
                self._put(0)
                low += 1
            self.low[node] = low

    def _segments(self, slot: int, mode: int) -> None:
        """Number of passes, growth of Lblock, and the length of every codeword segment."""
        total = self._count(slot)
        self._put_passes(total)
        bits = FIRST_LENGTH_BITS
        for writing in range(2):
            passes = 0
            record = self.first[slot]
            end = record + self.used[slot]
            while passes < total:
                room = segment_room(mode, passes, total - passes)
                if mode == HIGH_THROUGHPUT and passes == 0:
                    room = self.passes[record]
                taken = length = 0
                while record < end and taken < room:
                    taken += self.passes[record]
                    length += self.length[record]
                    record += 1
                if passes + taken > total:
                    taken = total - passes
                shift = 0
                while taken >> (shift + 1):
                    shift += 1
                if writing:
                    self._put_number(length, bits + shift)
                else:
                    while length >> (bits + shift):
                        bits += 1
                passes += taken
            if not writing:
                for _ in range(bits - FIRST_LENGTH_BITS):
                    self._put(1)
                self._put(0)

    def _put_passes(self, count: int) -> None:
        """Table B.4."""
        if count == 1:
            self._put(0)
        elif count == 2:
            self._put_number(2, 2)
        elif count < 6:
            self._put_number(12 | (count - 3), 4)
        elif count < 37:
            self._put_number(0x1E0 | (count - 6), 9)
        else:
            self._put_number(0xFF80 | (count - 37), 16)

    def _put(self, bit: int) -> None:
        self.left -= 1
        self.byte |= bit << self.left
        if self.left == 0:
            self.out.append(self.byte)
            self.left = 7 if self.byte == 0xFF else 8
            self.byte = 0

    def _put_number(self, value: int, bits: int) -> None:
        for bit in range(bits - 1, -1, -1):
            self._put((value >> bit) & 1)

    def _flushed(self) -> bytes:
        stuffed = len(self.out) and self.out[len(self.out) - 1] == 0xFF
        if stuffed or self.left < 8:
            self.out.append(self.byte)
        return bytes(self.out)
