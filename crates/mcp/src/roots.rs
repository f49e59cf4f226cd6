//! The client's roots as the project, where the server's own directory is none and no flag names
//! one. Older era only: the newer one has no requests from server to client.
//!
//! Asked once for each client, and bounded: a client that does not answer has no roots.

#![expect(deprecated, reason = "roots are going away; clients of the older era still have them")]

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, time::Duration};

use pyro_engine::ProjectSource;
use rmcp::{
    RoleServer,
    model::{ClientResult, ListRootsRequest, Root, ServerRequest},
    service::{PeerRequestOptions, RequestContext},
};

/// How long a client may take to say its roots.
const PATIENCE: Duration = Duration::from_secs(2);
/// Roots that are looked at.
const MOST: usize = 16;

/// The project that the client's roots name, if they name one that can be used.
pub(crate) async fn project(request: &RequestContext<RoleServer>) -> Option<ProjectSource> {
    let newer = request.protocol_version().is_some_and(|version| !version.has_initialize());
    if newer || request.client_capabilities()?.roots.is_none() {
        return None;
    }
    let ask = ServerRequest::ListRootsRequest(ListRootsRequest::default());
    let bounded = PeerRequestOptions::with_timeout(PATIENCE);
    let handle = request.peer.send_request_with_option(ask, bounded).await.ok()?;
    let answer = tokio::select! {
        answer = handle.await_response() => answer.ok()?,
        () = request.ct.cancelled() => return None,
    };
    let ClientResult::ListRootsResult(answer) = answer else { return None };
    // A look at a directory may block: on a dead network drive, say.
    let look = tokio::task::spawn_blocking(move || first_usable(&answer.roots));
    tokio::time::timeout(PATIENCE, look).await.ok()?.ok()?
}

fn first_usable(roots: &[Root]) -> Option<ProjectSource> {
    let user_home = std::env::var_os("HOME").map(PathBuf::from);
    let paths = roots.iter().take(MOST).filter_map(|root| path_of(&root.uri));
    paths.into_iter().find_map(|path| ProjectSource::of_root(&path, user_home.as_deref()))
}

/// The path of a `file://` address of this host.
fn path_of(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    if !rest.starts_with('/') || rest.len() > 4096 {
        return None;
    }
    let mut bytes = Vec::with_capacity(rest.len());
    let mut left = rest.bytes();
    while let Some(byte) = left.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(left.next()?)?, digit(left.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'?' | b'#' => return None,
            byte => byte,
        };
        bytes.push(byte);
    }
    let is_whole = !bytes.contains(&0);
    is_whole.then(|| PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_files_here_are_paths() {
        let path = |uri: &str| path_of(uri);
        assert_eq!(path("file:///a/b"), Some("/a/b".into()));
        assert_eq!(path("file://localhost/a%20b%C3%A9"), Some("/a bé".into()));
        for bad in [
            "https://h/a",
            "file://host/a",
            "file:/a",
            "/a",
            "file:///a%",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%00b",
            "file:///a?x",
            "file:///a#x",
            "",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_directory_that_can_be_used_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(at.join("one")).unwrap();
        std::fs::write(at.join("file"), "").unwrap();
        let root = |name: &str| Root::new(format!("file://{}", at.join(name).display()));
        let roots = [
            Root::new("https://h/x"),
            Root::new("file:///"),
            root("gone"),
            root("file"),
            root("one"),
            root(""),
        ];
        assert_eq!(first_usable(&roots), Some(ProjectSource::Directory(at.join("one"))));
        assert_eq!(first_usable(&roots[..4]), None);
    }
}
