//! Listening sockets and what is set on them. On Linux a connection inherits the options of its listener, which saves
//! several system calls for each; elsewhere they are set again on each.

use super::context;
use crate::cli::ListenUrl;
use crate::limits::{BACKLOG, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, Limits, USER_TIMEOUT};
use crate::message::Origin;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};

/// Whether an accepted connection has its listener's options already.
const INHERITED: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A bound socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    send_buffer: Option<usize>,
}

impl Listener {
    /// Binds all of them, or none: every address that a name stands for.
    pub fn open_all(urls: &[ListenUrl], limits: &Limits) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for url in urls {
            let addresses = (url.host.as_str(), url.port).to_socket_addrs();
            let addresses = addresses.map_err(|error| context(&format!("can't listen on {url}"), &error))?;
            for address in addresses {
                listeners
                    .push(Listener::open(address, limits).map_err(|error| explain(url, address, &error))?);
            }
        }
        Ok(listeners)
    }

    fn open(address: SocketAddr, limits: &Limits) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` takes IPv4 too, whatever the system's default.
            socket.set_only_v6(false)?;
        }
        tune(&socket, limits.send_buffer)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { socket: socket.into(), send_buffer: limits.send_buffer })
    }

    /// How to reach it, with the real port where 0 was asked for.
    pub fn url(&self) -> io::Result<String> {
        Ok(format!("line://{}", self.socket.local_addr()?))
    }

    /// The socket, for the poller.
    pub fn socket(&self) -> &TcpListener {
        &self.socket
    }

    /// One connection, that doesn't block.
    pub fn accept(&self) -> io::Result<(TcpStream, Origin)> {
        let (stream, address) = self.socket.accept()?;
        stream.set_nonblocking(true)?;
        if !INHERITED {
            tune(&SockRef::from(&stream), self.send_buffer)?;
        }
        Ok((stream, Origin::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))))
    }
}

/// Sets what every connection has: small lines leave at once, dead peers are found, and the kernel holds a bounded part
/// of what a peer doesn't read.
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

/// Says which address, why, and what to do about it.
fn explain(url: &ListenUrl, address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another server is there: stop it, or give another port with --listen HOST:PORT"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: give another with --listen HOST:PORT"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine doesn't have that address",
        _ => "",
    };
    io::Error::new(error.kind(), format!("can't listen on {url} ({address}): {error}{advice}"))
}
