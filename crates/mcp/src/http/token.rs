//! The word that a client over HTTP must know: 32 random bytes in a file of the user's own. Every
//! user of the host reaches a loopback port; only this one can read the file.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use pyro_operations::{Code, Failure};
use rustix::{fs::OFlags, process::geteuid, rand::GetRandomFlags};

/// Its place in pyro's home.
const FILE: &str = "mcp-token";
const BYTES: usize = 32;
/// A file that somebody wrote by hand may hold a longer one.
const MOST: u64 = 4 << 10;
const LEAST: usize = 32;

/// A token, and where it stands.
pub(super) struct Token {
    value: String,
    pub(super) path: PathBuf,
}

impl Token {
    /// The token of this home, made when there is none.
    ///
    /// # Errors
    /// `not_permitted`, when others can read the file; `host_unfit`, when it cannot be had.
    pub(super) fn of(home: &Path) -> Result<Self, Failure> {
        let path = home.join(FILE);
        let unfit = |error: io::Error| {
            Failure::new(Code::HostUnfit, format!("the token {}: {error}", path.display()))
                .hint("remove the file, or name another home with --home DIR")
        };
        match make(home, &path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unfit(error)),
            _ => {}
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(unfit)?;
        let found = file.metadata().map_err(unfit)?;
        let own = found.uid() == geteuid().as_raw();
        if !found.is_file() || !own || found.mode() & 0o077 != 0 {
            let message = format!("the token {} can be read by others", path.display());
            let hint = "remove the file: the next start makes one of mode 0600";
            return Err(Failure::new(Code::NotPermitted, message).hint(hint));
        }
        let mut value = String::new();
        file.take(MOST).read_to_string(&mut value).map_err(unfit)?;
        let value = value.trim().to_owned();
        if value.len() < LEAST || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unfit(io::Error::other("it is no token of 32 characters or more")));
        }
        Ok(Self { value, path })
    }

    /// Whether an `Authorization` header carries it. Takes as long whatever is wrong with it.
    pub(super) fn is_in(&self, header: Option<&[u8]>) -> bool {
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked(7)) else {
            return false;
        };
        let value = self.value.as_bytes();
        let differ = given.iter().zip(value).fold(0, |differ, (one, other)| differ | (one ^ other));
        scheme.eq_ignore_ascii_case(b"bearer ") && given.len() == value.len() && differ == 0
    }
}

fn make(home: &Path, path: &Path) -> io::Result<()> {
    let mut bytes = [0; BYTES];
    rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(home)?;
    // Whole or not at all: another server may be starting.
    let part = home.join(format!("{FILE}.{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()))
        .and_then(|()| std::fs::hard_link(&part, path));
    let _ = std::fs::remove_file(&part);
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let one = Token::of(&home).unwrap();
        assert_eq!(Token::of(&home).unwrap().value, one.value);
        assert_eq!(one.value.len(), 64);
        assert_eq!(std::fs::metadata(&one.path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
        std::fs::set_permissions(&one.path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Token::of(&home).err().unwrap().code, Code::NotPermitted);
        std::fs::remove_file(&one.path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &one.path).unwrap();
        assert_eq!(Token::of(&home).err().unwrap().code, Code::HostUnfit);
        std::fs::remove_file(&one.path).unwrap();
        assert_ne!(Token::of(&home).unwrap().value, one.value);
        std::fs::write(&one.path, "short").unwrap();
        assert_eq!(Token::of(&home).err().unwrap().code, Code::HostUnfit);
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token { value: "a".repeat(40), path: PathBuf::new() };
        let right = format!("Bearer {}", token.value);
        assert!(token.is_in(Some(right.as_bytes())));
        assert!(token.is_in(Some(format!("bearer {}", token.value).as_bytes())));
        let half = format!("Bearer {}", &token.value[1..]);
        let wrong = ["", "Bearer ", "Bearer", half.as_str(), &format!("{right}a"), &right[7..]];
        for header in wrong {
            assert!(!token.is_in(Some(header.as_bytes())), "{header}");
        }
        assert!(!token.is_in(None));
    }
}
