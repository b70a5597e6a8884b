"""Which examples repeat another one."""
