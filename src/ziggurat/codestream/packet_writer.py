"""Writing packet headers of a single layer (ISO/IEC 15444-1 B.10).

The loops over code-blocks, and nothing else: compiled where there is a compiler, with the types that
``packet_writer.pxd`` adds, interpreted as they stand where there is none.
"""

from array import array

from ziggurat.codestream.packet_parser import FIRST_LENGTH_BITS, HIGH_THROUGHPUT, UNSEEN, segment_room, tree_nodes
from ziggurat.codestream.packets import Column, Slots


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

    def header(self, widths: Column, heights: Column, places: Column, mode: int) -> bytes:
        """One packet's header.

        Args:
            widths: code-blocks across, by subband.
            heights: code-blocks down.
            places: the slot of every code-block, subband by subband, -1 where it is left out.
            mode: how passes fall into segments.
        """
        self.out = bytearray()
        self.byte = 0
        self.left = 8
        slots, wide, high = places, widths, heights
        for index in range(len(places)):
            if slots[index] >= 0 and self._count(slots[index]) > 0:
                break
        else:
            return b"\0"
        self._put(1)
        at = 0
        for band in range(len(widths)):
            if wide[band] and high[band]:
                self._band(wide[band], high[band], slots, at, mode)
                at += wide[band] * high[band]
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

    def _band(self, width: int, height: int, places: Column, at: int, mode: int) -> None:
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
            slot = places[at + leaf]
            included = slot >= 0 and self._count(slot) > 0
            self.value[leaf] = 0 if included else 1
            if included:
                self.value[nodes + leaf] = self.planes[slot]
        self._grow(width, height, nodes)
        for leaf in range(leaves):
            slot = places[at + leaf]
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
