//! The records of a pax extended header: `<length> <key>=<value>\n`, values of any bytes.

use super::failure::UnpackError;

/// The records that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) capability: Option<Vec<u8>>,
    pub(super) sparse: bool,
}

/// Reads all records; a later one of the same key wins, unknown ones are passed over.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Pax, UnpackError> {
    let mut pax = Pax::default();
    // Some writers pad with NULs.
    while bytes.first().is_some_and(|byte| *byte != 0) {
        let (key, value, rest) = record(bytes).ok_or_else(broken)?;
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match key {
            b"path" => pax.path = Some(value.to_vec()),
            b"linkpath" => pax.link = Some(value.to_vec()),
            b"size" => pax.size = Some(number().ok_or_else(broken)?),
            b"uid" => pax.uid = Some(number().ok_or_else(broken)?),
            b"gid" => pax.gid = Some(number().ok_or_else(broken)?),
            b"mtime" => pax.mtime = seconds(value),
            b"SCHILY.xattr.security.capability" => pax.capability = Some(value.to_vec()),
            sparse if sparse.starts_with(b"GNU.sparse.") => pax.sparse = true,
            _ => {}
        }
        bytes = rest;
    }
    Ok(pax)
}

fn broken() -> UnpackError {
    UnpackError::malformed("a pax header is broken")
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let body = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, bytes.get(length..)?))
}

fn seconds(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_binary_values_and_refuses_broken_lengths() {
        let pax = parse(b"12 path=a/b\n9 uid=70\n19 mtime=12.345678\n11 foo=\n\n\n\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!((pax.uid, pax.mtime), (Some(70), Some(12)));
        for broken in [&b"99 path=a\n"[..], b"5 path=a\n", b"x", b"0 =\n", b"9 uid=-1\n"] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
