//! Listening sockets and their options. On Linux an accepted connection inherits the options of its listener, which
//! saves several system calls per connection; elsewhere they are set again on each connection.

use super::context;
use crate::cli::{ListenAddress, ListenUrl};
use crate::limits::{BACKLOG, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, Limits, USER_TIMEOUT};
use crate::protocol::PeerAddr;
use crate::protocol::scheme::Scheme;
use crate::reactor::NotAccepted;
use rustix::fs::Mode;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Whether an accepted connection inherits the options of its listener.
const INHERITED: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A bound socket that listens for connections or receives datagrams.
#[derive(Debug)]
pub(super) struct Listener {
    scheme: Scheme,
    socket: Bound,
    send_buffer: Option<usize>,
    local: Option<IpAddr>,
    /// The socket file of this listener and its identity: drop removes the file unless another has replaced it.
    file: Option<(PathBuf, (u64, u64))>,
}

#[derive(Debug)]
enum Bound {
    Stream(Socket),
    Datagram(UdpSocket),
}

impl Listener {
    /// Binds every address of every URL, or returns an error and binds none.
    pub fn open_all(urls: &[ListenUrl], limits: &Limits, udp_public: bool) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for url in urls {
            match &url.address {
                ListenAddress::File(path) => {
                    let file = open_file(path);
                    listeners.push(file.map_err(|error| context(&format!("can't listen on {url}"), &error))?);
                }
                ListenAddress::Port { host, port } => {
                    let addresses = (host.as_str(), *port).to_socket_addrs();
                    let addresses =
                        addresses.map_err(|error| context(&format!("can't listen on {url}"), &error))?;
                    listeners.extend(open_ports(url, addresses, limits, udp_public)?);
                }
            }
        }
        Ok(listeners)
    }

    /// Returns the scheme of its URL.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the URL to connect to, with the port that the system has assigned where the flag names port 0.
    pub fn url(&self) -> io::Result<String> {
        let scheme = self.scheme.name();
        let address = match (&self.file, &self.socket) {
            (Some((path, _)), _) => return Ok(format!("{scheme}://{}", path.display())),
            (None, Bound::Stream(socket)) => socket.local_addr()?.as_socket(),
            (None, Bound::Datagram(socket)) => Some(socket.local_addr()?),
        };
        Ok(format!("{scheme}://{}", address.ok_or(ErrorKind::AddrNotAvailable)?))
    }

    /// Returns the local address of datagrams, if the socket is bound to a single address.
    pub fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Returns the descriptor, for the poller.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Bound::Stream(socket) => socket.as_fd(),
            Bound::Datagram(socket) => socket.as_fd(),
        }
    }

    /// Accepts one connection, as a non-blocking socket.
    pub fn accept(&self) -> io::Result<(Socket, PeerAddr)> {
        let Bound::Stream(socket) = &self.socket else { return Err(ErrorKind::Unsupported.into()) };
        let (stream, address) = accept(socket)?;
        let Some(address) = address else { return Ok((stream, PeerAddr::Unix)) };
        if !INHERITED {
            tune(&stream, self.send_buffer)?;
        }
        Ok((stream, PeerAddr::Inet(canonical(address))))
    }

    /// Receives one datagram, cut to the buffer; returns its length in bytes and its source.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Bound::Datagram(socket) = &self.socket else { return Err(ErrorKind::WouldBlock.into()) };
        socket.recv_from(buffer)
    }

    /// Sends one datagram.
    pub fn send_to(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let Bound::Datagram(socket) = &self.socket else { return Err(ErrorKind::Unsupported.into()) };
        socket.send_to(bytes, to).map(drop)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, ours)) = &self.file
            && identity(path).is_ok_and(|there| there == *ours)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the peer address of a connection.
pub(super) fn origin(socket: &Socket) -> io::Result<PeerAddr> {
    Ok(socket.peer_addr()?.as_socket().map_or(PeerAddr::Unix, |address| PeerAddr::Inet(canonical(address))))
}

/// Accepts one non-blocking connection and its peer address, in a single call where the system has accept4(2).
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "openbsd"))]
fn accept(socket: &Socket) -> io::Result<(Socket, Option<SocketAddr>)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (stream, address) = acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    Ok((stream.into(), address.and_then(|address| address.try_into().ok())))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "openbsd")))]
fn accept(socket: &Socket) -> io::Result<(Socket, Option<SocketAddr>)> {
    let (stream, address) = socket.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, address.as_socket()))
}

/// Classifies an error of accept(2). Linux reports pending network errors of the new connection there, which are no
/// fault of the listener (accept(2), "Error handling"), and a firewall's refusal as EPERM.
pub(super) fn classify_accept_error(error: &io::Error) -> NotAccepted {
    const GONE: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
        Errno::TIMEDOUT,
    ];
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        _ if error.kind() == ErrorKind::WouldBlock => NotAccepted::Nobody,
        Some(Errno::MFILE | Errno::NFILE) => NotAccepted::NoDescriptor,
        Some(errno) if GONE.contains(&errno) => NotAccepted::Gone,
        _ => NotAccepted::Failed,
    }
}

/// Binds every address of a host name. An address that this machine lacks (`localhost` is also `::1`, even without
/// IPv6) is an error only if no other can be bound.
fn open_ports(
    url: &ListenUrl,
    addresses: impl Iterator<Item = SocketAddr>,
    limits: &Limits,
    udp_public: bool,
) -> io::Result<Vec<Listener>> {
    let (mut open, mut missing) = (Vec::new(), None);
    for address in addresses {
        match open_port(url.scheme, address, limits, udp_public) {
            Ok(listener) => open.push(listener),
            Err(error) if is_missing(&error) => missing = missing.or(Some(explain(url, address, &error))),
            Err(error) => return Err(explain(url, address, &error)),
        }
    }
    match missing {
        Some(error) if open.is_empty() => Err(error),
        _ => Ok(open),
    }
}

/// Returns whether an error means that this machine lacks the address, or its whole family.
fn is_missing(error: &io::Error) -> bool {
    let family = Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(family)
}

fn open_port(scheme: Scheme, address: SocketAddr, limits: &Limits, udp_public: bool) -> io::Result<Listener> {
    let datagrams = scheme == Scheme::Udp;
    if datagrams && !udp_public && !is_loopback_or_private(address.ip()) {
        let why =
            "it is neither loopback nor private, and datagrams have forged addresses: --udp-public allows it";
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    let (kind, protocol) =
        if datagrams { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // `[::]` accepts IPv4 too, whatever the default of the system.
        socket.set_only_v6(false)?;
    }
    if !datagrams {
        socket.set_reuse_address(true)?;
        tune(&socket, limits.send_buffer)?;
    }
    socket.bind(&address.into())?;
    if !datagrams {
        socket.listen(BACKLOG)?;
    }
    socket.set_nonblocking(true)?;
    let socket = if datagrams { Bound::Datagram(socket.into()) } else { Bound::Stream(socket) };
    let local = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    Ok(Listener { scheme, socket, send_buffer: limits.send_buffer, local, file: None })
}

/// Binds a socket file that only its owner may use. The file of a dead server is replaced, that of a live one never.
fn open_file(path: &Path) -> io::Result<Listener> {
    let address = SockAddr::unix(path)?;
    if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
        match Socket::new(Domain::UNIX, Type::STREAM, None)?.connect(&address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Ok(()) => {
                return Err(io::Error::new(
                    ErrorKind::AddrInUse,
                    "another server listens there; stop it first",
                ));
            }
            Err(error) => return Err(error),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The umask is narrowed before the file exists, so that other users can't connect at any moment.
    let old_mask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let bound = socket.bind(&address);
    rustix::process::umask(old_mask);
    bound?;
    let file = Some((path.to_owned(), identity(path)?));
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(Listener { scheme: Scheme::Unix, socket: Bound::Stream(socket), send_buffer: None, local: None, file })
}

/// Returns the device and inode of the file at a path.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

/// Returns the IPv4 address of an IPv4-mapped one, which is how an IPv6 listener reports IPv4 peers.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Returns whether only this machine and private networks can reach an address.
fn is_loopback_or_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Sets the options of a connection: small lines leave at once, dead peers are detected, and the kernel holds a bounded
/// number of bytes that a peer doesn't read.
fn tune(socket: &Socket, send_buffer: Option<usize>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// Returns the error with the address, the reason and what to do about it.
fn explain(url: &ListenUrl, address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another server is there: stop it, or give another port with --listen HOST:PORT"
        }
        ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: give another with --listen HOST:PORT"
        }
        ErrorKind::AddrNotAvailable => "; this machine doesn't have that address",
        _ => "",
    };
    io::Error::new(error.kind(), format!("can't listen on {url} ({address}): {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_errors_spare_the_listener() {
        let kind = |errno: Errno| classify_accept_error(&errno.into());
        assert_eq!(kind(Errno::AGAIN), NotAccepted::Nobody);
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::HOSTUNREACH, Errno::NETDOWN, Errno::PERM] {
            assert_eq!(kind(errno), NotAccepted::Gone, "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert_eq!(kind(errno), NotAccepted::NoDescriptor, "{errno}");
        }
        for errno in [Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC] {
            assert_eq!(kind(errno), NotAccepted::Failed, "{errno}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn accepted_socket_has_its_options() {
        let url = ListenUrl::parse("line://127.0.0.1:0").unwrap();
        let listeners = Listener::open_all(&[url], &Limits::default(), false).unwrap();
        let address = listeners[0].url().unwrap();
        let _peer = std::net::TcpStream::connect(address.strip_prefix("line://").unwrap()).unwrap();
        let (socket, _) = listeners[0].accept().unwrap();
        assert!(
            socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap() && socket.nonblocking().unwrap()
        );
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_RETRIES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        // The kernel doubles the value that is set (socket(7)).
        assert_eq!(
            Some(socket.send_buffer_size().unwrap()),
            Limits::default().send_buffer.map(|bytes| 2 * bytes)
        );
    }

    #[test]
    fn only_private_addresses_are_near() {
        let is_private = |address: &str| is_loopback_or_private(address.parse().unwrap());
        for address in ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.9", "fe80::1", "fd00::1"] {
            assert!(is_private(address), "{address}");
        }
        for address in ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(!is_private(address), "{address}");
        }
    }
}
