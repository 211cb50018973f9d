//! Contract checks (in progress).
