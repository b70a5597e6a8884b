"""The style that every page has: the report and the audit of a judge."""
