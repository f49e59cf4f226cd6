//! Sockets: the host's unix sockets, also abstract ones, its loopback and its network are not
//! there; raw and unusual families are refused.

use std::{
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use crate::{Place, probe::python};

pub(super) fn sockets(place: &Place<'_>) {
    let name = format!("pyro-escape-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&abstract_name).unwrap();
    let _named = UnixListener::bind(place.fixture.home.join("named")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = place.fixture.home.display();
    place.session(|session| {
        let seen = python(
            session,
            &format!(
                "
def connect(family, address):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(3); s.connect(address); return 'connected'
    except OSError as error: return errno.errorcode.get(error.errno, str(error))
print(connect(socket.AF_UNIX, '\\0{name}'), connect(socket.AF_UNIX, '{folder}/named'))
print(connect(socket.AF_INET, ('127.0.0.1', {port})), connect(socket.AF_INET, ('1.1.1.1', 80)))
print([call(41, family, kind, protocol) for family, kind, protocol in
       ((17, 3, 0), (40, 1, 0), (38, 5, 0), (16, 3, 9), (16, 3, 15), (29, 3, 1), (44, 3, 0), (31, 3, 1))])
print(call(41, 2, 3, 1), call(41, 10, 3, 58))
with socket.socket() as s:
    s.bind(('127.0.0.1', 0)); s.listen()
    print(connect(socket.AF_INET, s.getsockname()))
print([name for _, name in socket.if_nameindex()])
"
            ),
        );
        assert_eq!(
            seen,
            "ECONNREFUSED ENOENT\nECONNREFUSED ENETUNREACH\n[-1, -1, -1, -93, -93, -1, -1, -1]\n\
             -1 -1\nconnected\n['lo']\n"
        );
    });
}
