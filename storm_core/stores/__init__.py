"""Where artifacts live when they outgrow an output directory: `STORM_STORE=file:///path` or `s3://bucket/prefix`."""
