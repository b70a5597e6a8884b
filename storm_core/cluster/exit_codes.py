"""How a node's process ends, for Kubernetes and for who follows. The TrainingRuntime in `manifests/` names them too."""

# Bad input, or another end that a second attempt would reach as well; sysexits.h calls it EX_DATAERR.
FINAL = 65
# Nobody followed any more: a checkpoint is there, and whoever asks again goes on from it; EX_TEMPFAIL.
UNFOLLOWED = 75
