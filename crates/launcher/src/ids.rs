//! Which ids of the host the ids inside are, and writing that map.
//!
//! | caller | 0 inside | 1.. inside |
//! |---|---|---|
//! | root | the first of a range nobody else has | the rest of it |
//! | a user with sub-ids | the user | the sub-ids |
//! | a user without | the user | nothing: one id only |

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use pyro_machine::{Capability, MachineError, Support};
use pyro_sys::{
    Context,
    ids::{self, Grant, Kind, Range, Stretch},
};

use crate::failure;

/// The doctor's name of the check of sub-ids.
pub const SUB_IDS: &str = "sub_ids";
/// As many ids as a Linux system expects to have.
const COUNT: u32 = 65_536;
/// Past every range that distributions hand out by themselves.
const FIRST_OF_OWN: u32 = 0x7000_0000;
/// `/etc/subuid` names that root's range may be under.
const NAMES_OF_ROOT: [&str; 3] = ["pyro", "root", "0"];

/// The map of every machine of this caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// The caller is root: a range for the guest alone.
    Root {
        /// Users and groups alike.
        range: Range,
    },
    /// The caller is 0 inside, and its sub-ids are the rest.
    Many {
        /// The caller's.
        user: u32,
        /// The caller's.
        group: u32,
        /// 1 and up.
        users: Range,
        /// 1 and up.
        groups: Range,
    },
    /// Only the caller's own id, as 0.
    One {
        /// The caller's.
        user: u32,
        /// The caller's.
        group: u32,
        /// Why not more.
        reason: String,
        /// What mends it.
        mend: String,
    },
}

impl Ids {
    /// What this caller has. `record` keeps root's range for good: files on disk belong to it.
    ///
    /// # Errors
    /// A file of `/etc` cannot be read, or `record` not be written.
    pub fn find(record: &Path) -> Result<Self, MachineError> {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        if user == 0 && all_ids_mapped() {
            return root(record);
        }
        let users = grants("/etc/subuid")?;
        let groups = grants("/etc/subgid")?;
        let name = ids::user_name(user).unwrap_or_else(|| user.to_string());
        let own = |grants: &[Grant]| {
            let mine = |grant: &&Grant| grant.owner == name || grant.owner == user.to_string();
            let range = grants.iter().filter(mine).map(|grant| grant.range);
            range.max_by_key(|range| range.count).filter(|range| range.count >= COUNT - 1)
        };
        let (users, groups) = match (own(&users), own(&groups)) {
            (Some(users), Some(groups)) => (users, groups),
            _ => {
                return Ok(Self::One {
                    user,
                    group,
                    reason: format!("{name} has no 65535 ids in /etc/subuid and /etc/subgid"),
                    mend: format!(
                        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
                    ),
                });
            }
        };
        if !(on_path("newuidmap") && on_path("newgidmap")) {
            return Ok(Self::One {
                user,
                group,
                reason: "newuidmap and newgidmap are not installed".to_owned(),
                mend: "sudo apt-get install -y uidmap".to_owned(),
            });
        }
        Ok(Self::Many { user, group, users, groups })
    }

    /// Whether programs inside can take other ids.
    #[must_use]
    pub fn is_one(&self) -> bool {
        matches!(self, Self::One { .. })
    }

    /// The row of the capability table.
    #[must_use]
    pub fn support(&self) -> (Capability, Support) {
        let support = match self {
            Self::Root { range } => {
                Support::Yes(format!("{} ids from {} on", range.count, range.first))
            }
            Self::Many { users, .. } => {
                Support::Yes(format!("the caller's and {} sub-ids", users.count))
            }
            Self::One { reason, mend, .. } => {
                Support::No { reason: reason.clone(), instead: mend.clone() }
            }
        };
        (Capability::ManyIds, support)
    }

    /// Writes the maps of a process in a fresh user namespace.
    ///
    /// # Errors
    /// The kernel or the helpers refuse.
    pub fn write(&self, pid: u32) -> Result<(), MachineError> {
        match self {
            Self::Root { range } => {
                let all = [Stretch { inside: 0, outside: range.first, count: range.count }];
                ids::write_map(pid, Kind::Groups, &all).map_err(failure)?;
                ids::write_map(pid, Kind::Users, &all).map_err(failure)
            }
            Self::Many { user, group, users, groups } => {
                // Side by side: each costs a process and an exec.
                let users = spawn_mapper("newuidmap", pid, *user, *users)?;
                let groups = spawn_mapper("newgidmap", pid, *group, *groups)?;
                finish_mapper("newuidmap", users).and(finish_mapper("newgidmap", groups))
            }
            Self::One { user, group, .. } => {
                let own = |outside| [Stretch { inside: 0, outside, count: 1 }];
                ids::deny_setgroups(pid).map_err(failure)?;
                ids::write_map(pid, Kind::Groups, &own(*group)).map_err(failure)?;
                ids::write_map(pid, Kind::Users, &own(*user)).map_err(failure)
            }
        }
    }
}

fn root(record: &Path) -> Result<Ids, MachineError> {
    let recorded = fs::read_to_string(record).ok().and_then(|text| text.trim().parse().ok());
    if let Some(first) = recorded {
        return Ok(Ids::Root { range: Range { first, count: COUNT } });
    }
    let mut users = grants("/etc/subuid")?;
    let groups = grants("/etc/subgid")?;
    let granted = users.iter().find(|grant| {
        NAMES_OF_ROOT.contains(&grant.owner.as_str())
            && grant.range.count >= COUNT
            && groups.contains(grant)
    });
    let range = match granted {
        Some(grant) => Range { first: grant.range.first, count: COUNT },
        None => {
            users.extend(groups);
            free_range(&users)
        }
    };
    let part = record.with_extension(std::process::id().to_string());
    fs::write(&part, format!("{}\n", range.first))
        .and_then(|()| fs::rename(&part, record))
        .doing("record the range of ids in", record.display())
        .map_err(failure)?;
    Ok(Ids::Root { range })
}

fn free_range(taken: &[Grant]) -> Range {
    let mut range = Range { first: FIRST_OF_OWN, count: COUNT };
    // Each step passes a grant, so this ends; the last range of 32 bits is taken as it is.
    while let Some(grant) = taken.iter().find(|grant| grant.range.overlaps(range)) {
        match grant.range.first.checked_add(grant.range.count) {
            Some(next) if next <= u32::MAX - COUNT => range.first = next,
            _ => break,
        }
    }
    range
}

fn grants(file: &str) -> Result<Vec<Grant>, MachineError> {
    ids::grants(Path::new(file)).map_err(failure)
}

/// Root of a nested user namespace is not root of the host: it has no range to give away.
fn all_ids_mapped() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

/// Whether a program of that name is in the search path.
#[must_use]
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn spawn_mapper(
    program: &'static str,
    pid: u32,
    own: u32,
    rest: Range,
) -> Result<Child, MachineError> {
    let words = [pid, 0, own, 1, 1, rest.first, rest.count.min(COUNT - 1)];
    Command::new(program)
        .args(words.map(|word| word.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .doing("start", program)
        .map_err(failure)
}

fn finish_mapper(program: &'static str, child: Child) -> Result<(), MachineError> {
    let ended = child.wait_with_output().doing("wait for", program).map_err(failure)?;
    if ended.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&ended.stderr).trim().chars().take(200).collect();
    Err(MachineError::HostUnfit {
        check: SUB_IDS,
        reason: format!("{program} refused: {said}"),
        mend: "sudo apt-get install -y uidmap".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_range_shares_no_id_with_any_grant() {
        let grant = |first, count| Grant { owner: "x".into(), range: Range { first, count } };
        assert_eq!(free_range(&[]).first, FIRST_OF_OWN);
        let taken = [
            grant(100_000, 65_536),
            grant(FIRST_OF_OWN + 10, 100),
            grant(FIRST_OF_OWN + 65_600, 9),
        ];
        let free = free_range(&taken);
        assert!(taken.iter().all(|grant| !grant.range.overlaps(free)), "{free:?}");
    }
}
