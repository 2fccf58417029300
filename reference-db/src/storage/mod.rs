//! What a protocol persists, kept on a disk: log, snapshot, recovery.
