//! Sockets and pollable descriptors.
