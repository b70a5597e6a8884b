"""A recipe on its way to Kubeflow Pipelines: what it will do, what it needs there, its version, its runs."""
