//! Guards that cancel a token when they are dropped.

use super::CancellationToken;

/// Cancels its token when it is dropped; see [`CancellationToken::drop_guard`].
///
/// # Examples
///
/// ```
/// let token = loopline_runtime::CancellationToken::new();
/// let guard = token.clone().drop_guard();
/// drop(guard.disarm());
/// assert!(!token.is_cancelled());
/// drop(token.clone().drop_guard());
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug)]
#[must_use = "the token is cancelled when this is dropped"]
pub struct DropGuard {
    /// None once it was disarmed.
    token: Option<CancellationToken>,
}

impl DropGuard {
    pub(super) fn new(token: CancellationToken) -> Self {
        Self { token: Some(token) }
    }

    /// Returns the token.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        self.token.as_ref().expect("disarming takes the guard")
    }

    /// Gives the token back, not cancelled by this.
    #[must_use = "the guard is gone; only this can cancel the token now"]
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("disarming takes the guard")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

/// Cancels the token that it borrows when it is dropped; see [`CancellationToken::drop_guard_ref`].
#[derive(Debug)]
#[must_use = "the token is cancelled when this is dropped"]
pub struct DropGuardRef<'a> {
    /// None once it was disarmed.
    token: Option<&'a CancellationToken>,
}

impl<'a> DropGuardRef<'a> {
    pub(super) fn new(token: &'a CancellationToken) -> Self {
        Self { token: Some(token) }
    }

    /// Returns the token.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        self.token.expect("disarming takes the guard")
    }

    /// Gives the token back, not cancelled by this.
    pub fn disarm(mut self) -> &'a CancellationToken {
        self.token.take().expect("disarming takes the guard")
    }
}

impl Drop for DropGuardRef<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            token.cancel();
        }
    }
}
