"""Every error that Ziggurat raises on purpose.

The tree::

    ZigguratError
    ├── UsageError               the request itself makes no sense
    ├── SourceError              the bytes cannot be had
    │   ├── SourceNotFound
    │   ├── SourceRefused        no permission, not a regular file, not a place we read
    │   ├── SourceChanged        not the bytes that were seen before
    │   └── StoreUnavailable     the server does not answer now; trying again may help
    ├── FormatError              the bytes are not an image that can be read
    │   ├── UnknownFormat
    │   ├── CorruptImage         truncated, lying or damaged
    │   └── UnsupportedFeature   valid, and beyond what the readers or writers do
    ├── LimitExceeded            more pixels, bytes, memory or time than allowed
    │   ├── TooManyPixels
    │   ├── TooManyBytes
    │   ├── OutOfMemory
    │   ├── TimedOut
    │   ├── Overloaded           too much is asked for at once; trying again may help
    │   └── NotReady             it is being made; trying again will help
    ├── WorkerCrashed            a decoder took its process down
    ├── WorkerLost               a worker of a cluster is gone, with what it had in hand
    ├── SchedulerLost            the scheduler of a cluster is gone, or was never there
    ├── WriteError               the result cannot be stored
    │   ├── TargetRefused        a name that must not be written
    │   ├── TargetExists
    │   ├── StoreFull            no room left; nothing more can be written
    │   ├── PackLocked           another process is writing it
    │   └── ChecksumMismatch     what is stored is not what was sent
    ├── VerificationFailed       the stored pixels are not the source's
    ├── JobError                 the job or its ledger cannot be used as asked
    │   ├── JobLocked            another process is working on it
    │   └── JobChanged           its options or manifest are no longer the same
    └── DependencyError          a library is missing or too old

Every message says what is wrong, with which file and where in it, and what to do.
"""


class ZigguratError(Exception):
    """Base of all errors that Ziggurat raises on purpose."""


class UsageError(ZigguratError):
    """The request itself makes no sense: an option, a window, a level, a template."""


class SourceError(ZigguratError):
    """The bytes of a source cannot be had."""


class SourceNotFound(SourceError):
    """There is nothing at that place."""


class SourceRefused(SourceError):
    """The place exists and may not or must not be read."""


class SourceChanged(SourceError):
    """The source is no longer the one that was seen before."""


class StoreUnavailable(SourceError):
    """The store did not answer; the same request may succeed later."""


class FormatError(ZigguratError):
    """The bytes are not an image that can be read."""


class UnknownFormat(FormatError):
    """No format of the table recognises the first bytes."""


class CorruptImage(FormatError):
    """The file is truncated, contradicts itself or does not decode."""


class UnsupportedFeature(FormatError):
    """The file is valid and asks for something that is not supported."""


class LimitExceeded(ZigguratError):
    """More pixels, bytes, memory or time than the limits allow."""


class TooManyPixels(LimitExceeded):
    """The declared size is over a limit, of ours or of the target format."""


class TooManyBytes(LimitExceeded):
    """More of files would be read than one request may."""


class OutOfMemory(LimitExceeded):
    """The memory cap was reached."""


class TimedOut(LimitExceeded):
    """The time limit was reached."""


class Overloaded(LimitExceeded):
    """Too many requests are waiting; the same one may succeed later."""


class NotReady(LimitExceeded):
    """What is asked for takes long to make and is being made; the same request succeeds later."""


class WorkerCrashed(ZigguratError):
    """A worker process died while it held an image."""


class WorkerLost(ZigguratError):
    """A worker of a cluster left it, or its machine died, while it held an image."""


class SchedulerLost(ZigguratError):
    """The scheduler of a cluster cannot be reached; the same command goes on when it is there again."""


class WriteError(ZigguratError):
    """The result cannot be stored."""


class TargetRefused(WriteError):
    """The target's name must not be written: it leaves the destination, or no store can hold it."""


class TargetExists(WriteError):
    """Something lies at the target's name already, and overwriting was not asked for."""


class StoreFull(WriteError):
    """The disk, quota or store has no room left."""


class PackLocked(WriteError):
    """Another process is writing this pack."""


class ChecksumMismatch(WriteError):
    """What is stored is not what was sent."""


class VerificationFailed(ZigguratError):
    """The pixels of the output are not those of the source."""


class JobError(ZigguratError):
    """The job or its ledger cannot be used as asked."""


class JobLocked(JobError):
    """Another process is working on this job."""


class JobChanged(JobError):
    """The options or the manifest are not those that the job was planned with."""


class DependencyError(ZigguratError):
    """A library is missing or too old."""
