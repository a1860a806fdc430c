//! systemd's readiness protocol: one datagram to the socket that `NOTIFY_SOCKET` names.

use std::{env, io, os::unix::net::UnixDatagram};

use telemetry::line;

/// Says that the member serves, if anybody wants to know.
pub(crate) fn ready() {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let sent: io::Result<usize> = (|| {
        let socket = UnixDatagram::unbound()?;
        match path.to_str().and_then(|text| text.strip_prefix('@')) {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(b"READY=1", &address)
            }
            None => socket.send_to(b"READY=1", &path),
        }
    })();
    if let Err(error) = sent {
        line!(Warn, "failed to notify systemd for readiness", "error" => error.to_string());
    }
}
