"""Training on several nodes: a TrainJob of Kubeflow Trainer, followed until its result is in the store."""
