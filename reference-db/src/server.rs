//! The shell around a protocol: messages, timers and files.
