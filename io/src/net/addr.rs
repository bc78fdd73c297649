//! Addresses: what `bind` and `connect` take.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::lookup::lookup;

/// Addresses to try in order.
pub type Addrs = Vec<SocketAddr>;

/// What `bind` and `connect` take: an address, several, text that parses as one, or a host name and a
/// port.
///
/// Only a name is looked up, on a thread, by the `connect` and `bind` of [`TcpStream`](super::TcpStream),
/// [`TcpListener`](super::TcpListener) and [`UdpSocket`](super::UdpSocket), by its `send_to`, and by
/// [`lookup_host`](super::lookup_host()).
pub trait ToAddrs: sealed::Sealed {
    /// Returns the addresses to try, in order, without looking anything up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the text is not an address.
    fn to_addrs(&self) -> io::Result<Addrs>;
}

mod sealed {
    use std::net::SocketAddr;

    pub trait Sealed {
        /// The address, if it is one and plainly so: a datagram is sent to it without a list.
        fn plain(&self) -> Option<SocketAddr> {
            None
        }

        /// The host name and the port, if it is no address.
        fn name(&self) -> Option<(&str, u16)> {
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

impl sealed::Sealed for str {
    fn name(&self) -> Option<(&str, u16)> {
        if self.parse::<SocketAddr>().is_ok() {
            return None;
        }
        let (host, port) = self.rsplit_once(':')?;
        // With a colon in it, it is an address that was written wrongly.
        let is_name = !host.is_empty() && !host.contains(':');
        port.parse().ok().filter(|_| is_name).map(|port| (host, port))
    }
}

impl ToAddrs for str {
    fn to_addrs(&self) -> io::Result<Addrs> {
        match self.parse() {
            Ok(addr) => Ok(vec![addr]),
            Err(_) => Err(not_an_address(self)),
        }
    }
}

impl sealed::Sealed for String {
    fn name(&self) -> Option<(&str, u16)> {
        self.as_str().name()
    }
}

impl ToAddrs for String {
    fn to_addrs(&self) -> io::Result<Addrs> {
        self.as_str().to_addrs()
    }
}

impl sealed::Sealed for (&str, u16) {
    fn name(&self) -> Option<(&str, u16)> {
        host_name(self.0, self.1)
    }
}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> io::Result<Addrs> {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, self.1)]),
            Err(_) => Err(not_an_address(format_args!("{}:{}", self.0, self.1))),
        }
    }
}

impl sealed::Sealed for (String, u16) {
    fn name(&self) -> Option<(&str, u16)> {
        host_name(&self.0, self.1)
    }
}

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

    fn name(&self) -> Option<(&str, u16)> {
        (**self).name()
    }
}

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self) -> io::Result<Addrs> {
        (**self).to_addrs()
    }
}

/// A host without its port, unless it is an address.
fn host_name(host: &str, port: u16) -> Option<(&str, u16)> {
    let is_name = !host.is_empty() && !host.contains(':') && host.parse::<IpAddr>().is_err();
    is_name.then_some((host, port))
}

fn not_an_address(text: impl fmt::Display) -> io::Error {
    let text = format!(
        "`{text}` is not an IP address and port such as 127.0.0.1:7000 or [::1]:7000; host names are \
         looked up where it waits, as in connect, bind and lookup_host, and need a port"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The first address, for what is sent to one only; looks a host name up.
pub(crate) async fn one(addr: &impl ToAddrs) -> io::Result<SocketAddr> {
    match addr.plain() {
        Some(addr) => Ok(addr),
        None => resolve(addr).await?.first().copied().ok_or_else(no_addresses),
    }
}

/// Returns the addresses to try, in order; looks a host name up.
pub(crate) async fn resolve(addr: &impl ToAddrs) -> io::Result<Addrs> {
    match addr.name() {
        Some((host, port)) => lookup(host, port).await,
        None => addr.to_addrs(),
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
    fn a_host_name_is_a_clear_error_where_nothing_is_looked_up() {
        for error in ["localhost:80".to_addrs(), ("localhost", 80).to_addrs()] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().starts_with("`localhost:80` is not an IP address and port"));
        }
    }

    #[test]
    fn only_a_name_with_a_port_is_a_name() {
        use sealed::Sealed;
        assert_eq!("localhost:80".name(), Some(("localhost", 80)));
        assert_eq!((String::from("example.com"), 1).name(), Some(("example.com", 1)));
        for text in
            ["127.0.0.1:80", "[::1]:80", "localhost", ":80", "localhost:http", "::1:80", "a:99999"]
        {
            assert_eq!(text.name(), None, "{text}");
        }
        for pair in [("", 80), ("::1", 80), ("1.2.3.4", 80)] {
            assert_eq!(pair.name(), None, "{pair:?}");
        }
    }
}
