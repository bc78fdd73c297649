//! Addresses: what `bind` and `connect` take.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Addresses to try in order.
pub type Addrs = Vec<SocketAddr>;

/// What `bind` and `connect` take: an address, several, or text that parses as one.
///
/// A host name is an error: looking it up could block the loop.
pub trait ToAddrs: sealed::Sealed {
    /// Returns the addresses to try, in order.
    ///
    /// # Errors
    ///
    /// If the text is not an address.
    fn to_addrs(&self) -> io::Result<Addrs>;
}

mod sealed {
    use std::net::SocketAddr;

    pub trait Sealed {
        /// The address, if it is one and plainly so: a datagram is sent to it without a list.
        fn plain(&self) -> Option<SocketAddr> {
            None
        }
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {
            fn plain(&self) -> Option<SocketAddr> {
                Some(SocketAddr::from(*self))
            }
        }

        impl ToAddrs for $type {
            fn to_addrs(&self) -> io::Result<Addrs> {
                Ok(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

plain!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl sealed::Sealed for str {}

impl ToAddrs for str {
    fn to_addrs(&self) -> io::Result<Addrs> {
        match self.parse() {
            Ok(addr) => Ok(vec![addr]),
            Err(_) => Err(not_an_address(self)),
        }
    }
}

impl sealed::Sealed for String {}

impl ToAddrs for String {
    fn to_addrs(&self) -> io::Result<Addrs> {
        self.as_str().to_addrs()
    }
}

impl sealed::Sealed for (&str, u16) {}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> io::Result<Addrs> {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, self.1)]),
            Err(_) => Err(not_an_address(format_args!("{}:{}", self.0, self.1))),
        }
    }
}

impl sealed::Sealed for (String, u16) {}

impl ToAddrs for (String, u16) {
    fn to_addrs(&self) -> io::Result<Addrs> {
        (self.0.as_str(), self.1).to_addrs()
    }
}

impl sealed::Sealed for [SocketAddr] {}

impl ToAddrs for [SocketAddr] {
    fn to_addrs(&self) -> io::Result<Addrs> {
        Ok(self.to_vec())
    }
}

impl<T: ToAddrs + ?Sized> sealed::Sealed for &T {
    fn plain(&self) -> Option<SocketAddr> {
        (**self).plain()
    }
}

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self) -> io::Result<Addrs> {
        (**self).to_addrs()
    }
}

fn not_an_address(text: impl fmt::Display) -> io::Error {
    let text = format!(
        "`{text}` is not an IP address and port such as 127.0.0.1:7000 or [::1]:7000; host names are \
         not looked up"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The first address, for what is sent to one only.
pub(crate) fn one(addr: &impl ToAddrs) -> io::Result<SocketAddr> {
    match addr.plain() {
        Some(addr) => Ok(addr),
        None => addr.to_addrs()?.first().copied().ok_or_else(no_addresses),
    }
}

/// Tries each address in order; the last error is the result if none will do.
pub(crate) fn first<T>(
    addrs: Addrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = no_addresses();
    for addr in addrs {
        match attempt(addr) {
            Ok(done) => return Ok(done),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(crate) fn no_addresses() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address was given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_an_address_needs_no_lookup() {
        assert_eq!("[::1]:80".to_addrs().unwrap(), [SocketAddr::from((Ipv6Addr::LOCALHOST, 80))]);
        assert_eq!(("127.0.0.1", 80).to_addrs().unwrap(), ["127.0.0.1:80".parse().unwrap()]);
    }

    #[test]
    fn a_host_name_is_a_clear_error() {
        for error in ["localhost:80".to_addrs(), ("localhost", 80).to_addrs()] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().starts_with("`localhost:80` is not an IP address and port"));
        }
    }
}
