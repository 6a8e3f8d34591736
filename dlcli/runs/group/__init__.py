"""Groups of seeds on disk: folder, logs, checkpoint of all members, and members unpacked as runs."""
