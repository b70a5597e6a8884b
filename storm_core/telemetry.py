"""Nothing that this project starts reports to anyone: libraries and servers are told so before they are loaded.

MLflow's client looks once, when it is imported; otherwise a thread of its own asks for instructions and unsets a
variable of the environment while requests reads it, which has ended stages where there is no internet.
"""

import os

# HF_UPDATE_DOWNLOAD_COUNTS: `datasets`, by which lm-eval reads its questions, tells a counter of each data set that it
# loads. DO_NOT_TRACK: the word of donottrack.sh, for what has no variable of its own.
NO_TELEMETRY = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def disable_telemetry() -> None:
    """Turn off telemetry in this process and all that it starts; to be called before MLflow is imported."""
    os.environ.update(NO_TELEMETRY)
