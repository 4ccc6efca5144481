"""Reading packet headers (ISO/IEC 15444-1 B.9 and B.10; 15444-15 B.3 for HT code-blocks).

The loops over code-blocks, and nothing else: compiled where there is a compiler, with the types that
``packet_parser.pxd`` adds, interpreted as they stand where there is none.
"""

from array import array

from ziggurat.codestream.packets import Column, Layout, Packets, Records, more_room
from ziggurat.errors import CorruptImage, LimitExceeded

OK, SHORT = 0, 1
"""How ``PacketParser.run`` ended: all done, or more bytes of a header are needed."""

BYPASS, TERMINATED, HIGH_THROUGHPUT = 1, 2, 3
"""As in ``coding``; 0 is PLAIN."""

MAX_PASSES = 164
MAX_PLANES = 74
"""Zero bit-planes of a code-block: 38 bits of depth and 36 of a region of interest at the most."""
MAX_LENGTH_BITS = 32
UNSEEN = 1 << 20
"""Value of a tag tree's node of which nothing is known."""
OPEN_END = 255
"""Passes that a codeword segment may hold where nothing terminates it before the last pass."""
FIRST_BYPASS = 10
"""Passes before the arithmetic coder is bypassed (D.6)."""
FIRST_LENGTH_BITS = 3
"""Lblock of a code-block's first packet (B.10.7.1)."""


def segment_room(mode: int, passes: int, new: int) -> int:
    """Passes that fit into the codeword segment that is open after ``passes`` passes, when ``new`` more come."""
    if mode == TERMINATED:
        return 1
    if mode == BYPASS:
        if passes < FIRST_BYPASS:
            return FIRST_BYPASS - passes
        return 2 if (passes - FIRST_BYPASS) % 3 == 0 else 1
    if mode == HIGH_THROUGHPUT and passes == 0:
        # Placeholder passes come in threes before the cleanup pass.
        return new - (new - 1) % 3
    return OPEN_END


def tree_nodes(width: int, height: int) -> int:
    """Nodes of a tag tree over so many leaves (B.10.2)."""
    count = width * height
    while width > 1 or height > 1:
        width, height = (width + 1) >> 1, (height + 1) >> 1
        count += width * height
    return count


class PacketParser:
    """Reads the packet headers of one tile, one after the other.

    Args:
        layout: the precincts.
        packets: the packets in order, whose columns are filled.
        planes: filled with the number of zero bit-planes, a byte a code-block.
        rows: room for what the packets bring, at first.

    Attributes:
        rows: what the packets bring; longer than what is in use.
        records: rows that are in use.
        next: place of the next packet to be read.
        at: the file's offset of the next packet.
        packed_at: index of the next packet's header in the packed headers.
    """

    def __init__(self, layout: Layout, packets: Packets, planes: Column, rows: Records) -> None:
        self.band_first, self.width, self.height = layout.band_first, layout.width, layout.height
        self.block_first, self.mode = layout.block_first, layout.mode
        self.precinct, self.layer = packets.precinct, packets.layer
        self.offset, self.header, self.length = packets.offset, packets.header, packets.length
        self.record = packets.record
        self.planes = planes
        self.sop = layout.sop
        self.eph = layout.eph
        self.visits = layout.visits
        self.lasting = layout.layers > 1
        self.next = 0
        self.at = 0
        self.records = 0
        self.packed_at = 0
        self.depth = 0
        self.tree_base = array("q", bytes(8 * 40))
        self.tree_width = array("q", bytes(8 * 40))
        self.rows = rows
        self.rec_block, self.rec_passes, self.rec_length = rows.block, rows.passes, rows.length
        self._make_state(layout.blocks)

    def _make_room(self) -> None:
        """Doubles the room for records."""
        old = self.rows
        count = len(old.block)
        rows = more_room(old, 2 * count + 1)
        self.rows = rows
        self.rec_block, self.rec_passes, self.rec_length = rows.block, rows.passes, rows.length

    def _make_state(self, blocks: int) -> None:
        """Room for the tag trees: of all precincts where packets of several layers share them, else of the largest."""
        bands = len(self.width)
        self.node_first = array("q", bytes(8 * bands if self.lasting else 8))
        nodes = 0
        for band in range(bands):
            count = tree_nodes(self.width[band], self.height[band])
            if self.lasting:
                self.node_first[band] = nodes
                nodes += count
            elif count > nodes:
                nodes = count
        # Nodes of the trees of inclusion, then those of the trees of zero planes.
        self.nodes = nodes
        self.value = array("i", [UNSEEN]) * max(2 * nodes, 1)
        self.low = array("i", bytes(4 * max(2 * nodes, 1)))
        self.block_bits = array("B", bytes(blocks if self.lasting else 1))
        self.block_passes = array("B", bytes(blocks if self.lasting else 1))
        self.saved = array("i")

    def release(self) -> None:
        """Lets go of the bytes that were read last."""
        self.data = b""
        self.source = self.data

    def run(self, data: bytes, base: int, limit: int, last: int, packed: bytes) -> int:
        """Reads packets until the tile-part ends, ``last`` is reached, or something is lacking.

        Args:
            data: bytes that hold the next packet's header, if not ``packed`` does.
            base: the file's offset of ``data``.
            limit: the file's offset of the tile-part's end.
            last: place of the packet to stop before.
            packed: packet headers that lie apart (PPM, PPT); empty where they lie before the bodies.

        Returns:
            OK or SHORT; a packet whose header is cut short is as if it had not been looked at.

        Raises:
            CorruptImage: if a header contradicts itself or the tile-part's length.
            LimitExceeded: if headers take longer to read than their bytes can be worth.
        """
        self.data = data
        self.source = packed if len(packed) else data
        self.reach = len(data)
        while self.next < last:
            if self.packed_at >= len(packed) if len(packed) else self.at >= limit:
                return OK
            if self.at < base and (self.sop or not len(packed)):
                return SHORT
            if self.sop and len(packed) and base + len(data) < self.at + 6 <= limit:
                # The header lies apart; whether SOP precedes the body is seen here alone.
                return SHORT
            status = self._packet(base, limit, len(packed) > 0)
            if status != OK:
                return status
        return OK

    def run_each(self, data: bytes, where: Column, held: Column, offset: Column, length: Column) -> int:
        """Reads packets of which it is known where each lies.

        Args:
            data: bytes of all of them, each at least up to the end of its header.
            where: index of each one's first byte in ``data``.
            held: how many of its bytes there are.
            offset: where it lies in the file.
            length: its bytes there.

        Returns:
            The place of the first packet of whose header there is too little; -1 if all have been read.

        Raises:
            CorruptImage: if a header contradicts itself or the packet's length.
        """
        self.data = data
        self.source = data
        starts, counts, offsets, lengths = where, held, offset, length
        for place in range(len(starts)):
            self.at = offsets[place]
            self.reach = starts[place] + counts[place]
            if self._packet(offsets[place] - starts[place], offsets[place] + lengths[place], False) != OK:
                return place
            if self.at != offsets[place] + lengths[place]:
                raise CorruptImage(
                    f"the packet at byte {offsets[place]} is {self.at - offsets[place]} bytes long by its header, "
                    f"{lengths[place]} by PLT"
                )
        return -1

    def _packet(self, base: int, limit: int, packed: bool) -> int:  # noqa: FBT001 - called for every packet
        """Reads one packet's header."""
        start = self.at - base
        first = 0
        if start + 6 <= self.reach and self.data[start] == 0xFF and self.data[start + 1] == 0x91:
            first = 6
        elif start < self.reach < start + 6 and self.at + 6 <= limit and self.data[start] == 0xFF:
            return SHORT
        self.pos = self.packed_at if packed else start + first
        whole = len(self.source) if packed else self.reach
        self.end = whole
        if not packed and self.end > limit - base:
            self.end = limit - base
        self.left = 0
        self.byte = 0
        self.short = False
        mark = self.records
        # Where the bytes reach to the end there is nothing to be tried again with more of them.
        retried = self.lasting and not packed and base + self.end < limit
        if retried:
            self._save()
        body = 0
        if self._bit():
            body = self._bands()
        if not self.short and body >= 0 and self.eph:
            if self.pos + 2 > self.end:
                # There may be no EPH although it was announced, but only in full can that be seen.
                self.short = self.end < whole or (not packed and base + self.end < limit)
            elif self.source[self.pos] == 0xFF and self.source[self.pos + 1] == 0x92:
                self.pos += 2
        if self.short or body < 0:
            self.records = mark
            if retried:
                self._restore()
            if packed or base + self.end >= limit:
                raise CorruptImage(
                    f"packet {self.next} at byte {self.at}: its header is longer than what is left of the "
                    + ("packed headers" if packed else "tile-part")
                )
            return SHORT
        if packed:
            self.packed_at = self.pos
        else:
            first = self.pos - start
        if self.at + first + body > limit:
            raise CorruptImage(
                f"packet {self.next} at byte {self.at}: it is {first + body} bytes long, {limit - self.at} are left "
                "in the tile-part"
            )
        place = self.next
        self.offset[place] = self.at
        self.header[place] = first
        self.length[place] = first + body
        self.record[place + 1] = self.records
        self.at += first + body
        self.next = place + 1
        return OK

    def _bands(self) -> int:
        """Reads the subbands of a packet that is not empty: bytes of its body; -1 cut short."""
        precinct = self.precinct[self.next]
        layer = self.layer[self.next]
        body = 0
        for band in range(self.band_first[precinct], self.band_first[precinct + 1]):
            if self.width[band] == 0 or self.height[band] == 0:
                continue
            self.visits -= self.width[band] * self.height[band]
            if self.visits < 0:
                raise LimitExceeded(
                    f"packet {self.next} at byte {self.at}: the headers speak of far more code-blocks than bytes are "
                    "there for"
                )
            self._plant(band)
            block = self.block_first[band]
            for y in range(self.height[band]):
                for x in range(self.width[band]):
                    length = self._block(block, x, y, layer, self.mode[band])
                    if length < 0:
                        return length
                    body += length
                    block += 1
        if self.byte == 0xFF:
            # A header does not end with a byte of ones: the stuffed bit takes a byte of its own.
            self.pos += 1
            self.short = self.short or self.pos > self.end
        return -1 if self.short else body

    def _plant(self, band: int) -> None:
        """Lays out a subband's tag trees; where they serve one packet only, empties them."""
        width, height = self.width[band], self.height[band]
        first = self.node_first[band] if self.lasting else 0
        base = first
        depth = 0
        while True:
            self.tree_base[depth] = base
            self.tree_width[depth] = width
            base += width * height
            depth += 1
            if width <= 1 and height <= 1:
                break
            width, height = (width + 1) >> 1, (height + 1) >> 1
        self.depth = depth
        if not self.lasting:
            for node in range(first, base):
                self.value[node] = UNSEEN
                self.value[self.nodes + node] = UNSEEN
                self.low[node] = 0
                self.low[self.nodes + node] = 0

    def _block(self, block: int, x: int, y: int, layer: int, mode: int) -> int:
        """Reads what a packet says of one code-block: bytes that it brings; -1 cut short."""
        bits = self.block_bits[block] if self.lasting else 0
        passes = self.block_passes[block] if self.lasting else 0
        if bits:
            if not self._bit():
                return -1 if self.short else 0
        else:
            if not self._below(0, x, y, layer + 1):
                return -1 if self.short else 0
            if not self._below(self.nodes, x, y, MAX_PLANES + 1):
                if self.short:
                    return -1
                raise CorruptImage(
                    f"packet {self.next} at byte {self.at}: a code-block has more than {MAX_PLANES} zero planes"
                )
            self.planes[block] = self.value[self.nodes + self.tree_base[0] + y * self.tree_width[0] + x]
            bits = FIRST_LENGTH_BITS
        new = self._passes()
        while self._bit():
            bits += 1
        if passes + new > MAX_PASSES or bits > MAX_LENGTH_BITS:
            if self.short:
                return -1
            raise CorruptImage(
                f"packet {self.next} at byte {self.at}: a code-block of {passes + new} passes with lengths of {bits} "
                f"bits; at most {MAX_PASSES} and {MAX_LENGTH_BITS} are possible"
            )
        body = 0
        while new > 0:
            room = segment_room(mode, passes, new)
            taken = new if new < room else room
            length = self._number(bits + self._log2(taken))
            if self.short:
                return -1
            if self.records >= len(self.rec_block):
                self._make_room()
            self.rec_block[self.records] = block
            self.rec_passes[self.records] = taken
            self.rec_length[self.records] = length
            self.records += 1
            body += length
            passes += taken
            new -= taken
        if self.lasting:
            self.block_bits[block] = bits
            self.block_passes[block] = passes
        return body

    def _bit(self) -> int:
        """The next bit; after a byte of ones a zero bit is stuffed (B.10.1)."""
        if self.left == 0:
            if self.pos >= self.end:
                self.short = True
                return 0
            self.left = 7 if self.byte == 0xFF else 8
            self.byte = self.source[self.pos]
            self.pos += 1
        self.left -= 1
        return (self.byte >> self.left) & 1

    def _number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self._bit()
        return value

    def _log2(self, value: int) -> int:
        found = 0
        while value > 1:
            value >>= 1
            found += 1
        return found

    def _passes(self) -> int:
        """The number of coding passes (Table B.4)."""
        if not self._bit():
            return 1
        if not self._bit():
            return 2
        value = self._number(2)
        if value < 3:
            return 3 + value
        value = self._number(5)
        if value < 31:
            return 6 + value
        return 37 + self._number(7)

    def _below(self, tree: int, x: int, y: int, threshold: int) -> bool:
        """Whether a code-block's value in a tag tree, layer (B.10.4) or zero planes (B.10.5), is below a threshold."""
        low = 0
        node = 0
        for level in range(self.depth - 1, -1, -1):
            node = tree + self.tree_base[level] + (y >> level) * self.tree_width[level] + (x >> level)
            if self.low[node] > low:
                low = self.low[node]
            while low < threshold and low < self.value[node]:
                if self._bit():
                    self.value[node] = low
                else:
                    low += 1
            self.low[node] = low
        return self.value[node] < threshold

    def _spans(self) -> "tuple[int, int, int, int]":
        """Nodes and code-blocks of the next packet's precinct, first and past the last of each."""
        precinct = self.precinct[self.next]
        first, last = self.band_first[precinct], self.band_first[precinct + 1] - 1
        nodes = self.node_first[last] + tree_nodes(self.width[last], self.height[last])
        blocks = self.block_first[last] + self.width[last] * self.height[last]
        return self.node_first[first], nodes, self.block_first[first], blocks

    def _save(self) -> None:
        """Keeps the state of the next packet's precinct."""
        node, nodes, block, blocks = self._spans()
        needed = 4 * (nodes - node) + 2 * (blocks - block)
        if len(self.saved) < needed:
            self.saved = array("i", bytes(4 * needed))
        at = 0
        for index in range(node, nodes):
            self.saved[at] = self.value[index]
            self.saved[at + 1] = self.low[index]
            self.saved[at + 2] = self.value[self.nodes + index]
            self.saved[at + 3] = self.low[self.nodes + index]
            at += 4
        for index in range(block, blocks):
            self.saved[at] = self.block_bits[index]
            self.saved[at + 1] = self.block_passes[index]
            at += 2

    def _restore(self) -> None:
        """Undoes what was read of a packet that could not be read whole."""
        node, nodes, block, blocks = self._spans()
        at = 0
        for index in range(node, nodes):
            self.value[index] = self.saved[at]
            self.low[index] = self.saved[at + 1]
            self.value[self.nodes + index] = self.saved[at + 2]
            self.low[self.nodes + index] = self.saved[at + 3]
            at += 4
        for index in range(block, blocks):
            self.block_bits[index] = self.saved[at]
            self.block_passes[index] = self.saved[at + 1]
            at += 2
