"""A pack as training data: a map-style dataset and an order, as PyTorch's DataLoader takes them. PyTorch is not needed.

images = PackDataset("galaxies.zpk", decode)
order = ShuffledOrder(len(images), seed=1, rank=rank, ranks=world)
for epoch in range(10):
order.set_epoch(epoch)
for batch in DataLoader(images, batch_size=256, sampler=order, num_workers=4):
...
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ziggurat.errors import UsageError
from ziggurat.pack.pack import Pack
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.pack_url import Table


class PackDataset[Sample]:
    """Images of a pack by their places 0, 1, ..., in the order in which they lie.

    It goes along into worker processes, which open the pack anew. Several images at once are read in the order in
    which they lie; of a pack in a store side by side.

    Args:
        place: path or URL of the pack.
        transform: makes a sample of a key and the file's bytes; it must be known by name where processes are spawned.
        where: an SQL expression as ``Pack.entries`` takes it; None takes all images.
        table: where the images are in a database that is no pack.
        network: how stores are reached.

    Raises:
        SourceError: if the pack cannot be read.
    """

    def __init__(
        self,
        place: str | Path,
        transform: Callable[[str, bytes], Sample],
        *,
        where: str | None = None,
        table: Table | None = None,
        network: NetworkOptions | None = None,
    ) -> None:
        self._pack = Pack(place, table=table, network=network)
        self._transform = transform
        if where is None:
            self.keys: Sequence[str] = list(self._pack)
        else:
            self.keys = [key for _, key in self._pack.places(where)]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.keys)

    def __getitem__(self, place: int) -> Sample:
        """One sample.

        Raises:
            IndexError: if there is none at this place.
            SourceError: if it cannot be read.
        """
        key = self.keys[place]
        return self._transform(key, self._pack[key])

    def __getitems__(self, places: Sequence[int]) -> list[Sample]:
        """Several samples, in the order asked for: what DataLoader calls for a batch."""
        ordered = sorted(set(places))
        found = dict(zip(ordered, self._pack.batch([self.keys[place] for place in ordered]), strict=True))
        return [self._transform(self.keys[place], found[place]) for place in places]

    def close(self) -> None:
        """Lets go of the pack."""
        self._pack.close()


class ShuffledOrder:
    """A sampler: all places in an order that the seed and the epoch determine, shared out between several machines.

    Args:
        length: of the dataset.
        seed: the same one gives the same orders everywhere.
        rank: of this machine among ``ranks``; all get equally many places, some of which come twice if need be.
        ranks: machines that train together.

    Raises:
        UsageError: if there is no such rank.
    """

    def __init__(self, length: int, *, seed: int = 0, rank: int = 0, ranks: int = 1) -> None:
        if not 0 <= rank < ranks:
            raise UsageError(f"rank {rank} is none of {ranks}; they count from 0")
        self._length = length
        self._seed = seed
        self._rank, self._ranks = rank, ranks
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of an epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Places that this machine gets."""
        return (self._length + self._ranks - 1) // self._ranks

    def __iter__(self) -> Iterator[int]:
        """The places of this machine."""
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._length)
        shared = np.resize(order, len(self) * self._ranks) if self._length else order
        yield from shared[self._rank :: self._ranks].tolist()
