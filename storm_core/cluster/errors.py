"""What ends a stage whose work a cluster was to do."""


class ClusterError(RuntimeError):
    """A cluster that does not do the work: what it refuses, or why its job failed. One line, like `InputError`."""
