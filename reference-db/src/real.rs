//! The real world: TCP, files and the clock of the operating system.
