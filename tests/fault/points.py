"""The points at which a build with -DKLATCH_FAILPOINTS=ON can be killed (common/base/failpoint.h), and how each is reached."""

RUNNING, STARTING, ENDING = "running", "starting", "ending"

POINTS = {
    "posts-checked": RUNNING,
    "round-sent": RUNNING,
    "round-answered": RUNNING,  # posts are in the log, and nobody has been told
    "posts-answering": RUNNING,
    "several-homed": RUNNING,  # a post to several groups that no group has yet
    "several-carried": RUNNING,
    "several-settled": RUNNING,
    "removal-appended": RUNNING,
    "removal-in-force": RUNNING,
    "personal-written": RUNNING,
    "log-read": RUNNING,
    "log-handed": RUNNING,
    "record-applied": RUNNING,  # to timelines in memory, and not flushed
    "batch-taken": RUNNING,
    "facts-written": RUNNING,
    "step-written": RUNNING,
    "timelines-written": RUNNING,  # and the checkpoint not moved
    "checkpoint-written": RUNNING,
    "timeline-rebuilt": RUNNING,
    "leases-renewed": RUNNING,
    "log-trimmed": RUNNING,
    "leases-taken": STARTING,
    "state-loaded": STARTING,
    "log-replayed": STARTING,
    "calls-closed": ENDING,
    "log-drained": ENDING,
    "timelines-drained": ENDING,
}
