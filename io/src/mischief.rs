//! Short reads and writes of sockets, in builds with `--cfg loopline_mischief`; in all others nothing.
//!
//! Buffers are cut before the system sees them, so that nothing is told that a system could not tell.

/// Returns the buffer, or in the test build a part of it.
#[cfg(not(loopline_mischief))]
#[inline(always)]
pub(crate) fn part(buf: &[u8]) -> &[u8] {
    buf
}

/// As `part`.
#[cfg(not(loopline_mischief))]
#[inline(always)]
pub(crate) fn part_mut(buf: &mut [u8]) -> &mut [u8] {
    buf
}

/// Returns the buffer or a part of it.
#[cfg(loopline_mischief)]
pub(crate) fn part(buf: &[u8]) -> &[u8] {
    &buf[..loopline_runtime::mischief::at_most(buf.len())]
}

/// As `part`.
#[cfg(loopline_mischief)]
pub(crate) fn part_mut(buf: &mut [u8]) -> &mut [u8] {
    let len = loopline_runtime::mischief::at_most(buf.len());
    &mut buf[..len]
}
