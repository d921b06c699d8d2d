"""All time limits, retry numbers and sizes of the server package. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from typing import Final

DEFAULT_URL: Final = "http://localhost:9090"

# -- requests ----------------------------------------------------------------------------------------------------------

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 60.0
"""How long the server may stay silent during one request; the default of a client's `timeout`."""
COMMAND_TIMEOUT: Final = 60.0
"""How long each request of a command may take in all, such as `doctor` or `pull`; `run` has `--timeout`."""
ENQUEUE_TIMEOUT: Final = 300.0
"""`READ_TIMEOUT` of an enqueue: a batch of thousands of items with a large graph takes the server a while."""
MIN_TRANSFER_RATE: Final = 1024
"""Bytes per second below which a transfer counts as stalled, so that a server that drips bytes holds nobody up."""
MAX_CONNECTIONS: Final = 16
MAX_REDIRECTS: Final = 5

MAX_RETRIES: Final = 3
"""How often a request that may be repeated is sent again; the default of a client's `max_retries`."""
MAX_SILENT_RETRIES: Final = 1
"""Lower, because each attempt takes the whole `timeout`."""
FIRST_RETRY_WAIT: Final = 0.2
MAX_RETRY_WAIT: Final = 2.0
MAX_RETRY_AFTER: Final = 30.0
"""Longest wait that a server can ask for with `Retry-After`."""
LOST_ANSWER_WAITS: Final = (0.2, 0.5, 1.0, 2.0)
"""Pauses before each look whether a request arrived whose answer was lost."""

MAX_ANSWER: Final = 1 << 28
"""Largest JSON answer, uncompressed (256 MiB)."""
MAX_FILE_IN_MEMORY: Final = 1 << 30
"""Largest file that is read into memory (1 GiB). A file that is saved to disk may be larger."""
MAX_ERROR_ANSWER: Final = 1 << 22
"""Largest part of an error answer that is read (4 MiB): a 422 repeats the graph it is about."""
MAX_DETAIL: Final = 300
"""Characters of one reason of the server in an error message."""
MAX_PROBLEMS: Final = 20
"""Reasons listed in the message of a 422."""
CHUNK: Final = 1 << 16

# -- lists -------------------------------------------------------------------------------------------------------------

PAGE: Final = 100
"""Entries fetched with one request."""
DEFAULT_CAPACITY: Final = 10_000
"""InvokeAI's own limit for items in a queue."""
MODELS_MAX_AGE: Final = 30.0
"""How long `models.known` may answer from memory."""

# -- following jobs ----------------------------------------------------------------------------------------------------

SHORT_POLL: Final = 0.02
"""Time between polls of runs that may end before an event connection would pay off."""
MAX_SHORT_POLLS: Final = 12
"""How often a client asks for such runs before it opens the connection; counted anew once all of them have ended. To
load what a connection takes costs as much CPU as a hundred polls."""
BRIEF_RUN: Final = 1.0
"""Seconds below which a run needs no events if the one before took as long: receiving them costs more than to ask when it
should end."""
FIRST_POLL: Final = 0.1
MAX_POLL: Final = 1.0
SAFETY_POLL: Final = 10.0
"""Time between polls while events arrive, in case one got lost."""
POLL_COST: Final = 0.02
"""Added to the pause for each further batch that is followed, so that many of them do not flood the server."""
BATCH_POLL: Final = 2.0
"""Time between polls of large batches of fast items, whose events would cost the server more."""
MAX_POLLED_BATCHES: Final = 4
"""Above this, asking for each of them costs more than the events."""
EVENT_TIMEOUT: Final = 0.25
"""How long events may still arrive after an item is known to have ended."""
UNREACHABLE_AFTER: Final = 60.0
"""How long a server may fail to answer before its jobs fail; the default of a client's `unreachable_after`."""
SOCKET_TIMEOUT: Final = 5
"""How long an event connection and its subscription may each take. Whole, because Socket.IO wants it so."""
FIRST_RECONNECT: Final = 0.5
MAX_RECONNECT: Final = 15.0

# -- other waits -------------------------------------------------------------------------------------------------------

INTERRUPT_TIMEOUT: Final = 10.0
"""How long an interrupted call may take to tidy up (cancel its queue item) before the interrupt goes on."""
CANCEL_TIMEOUT: Final = 5.0
"""How long cancelling queue items may take after an interrupt or a timeout."""
CLEANUP_TIMEOUT: Final = 5.0
"""How long clean-up may take after an error or a timeout."""
UNDO_TIMEOUT: Final = 4.0
"""How long a request that fails or is canceled may take to break off its uploads, and again to delete what it made."""
INSTALL_POLL: Final = 0.5
"""Time between questions about a model install."""
EXIT_TIMEOUT: Final = 5.0
"""How long closing connections may take when the process ends."""
