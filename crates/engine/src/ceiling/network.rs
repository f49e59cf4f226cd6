//! The widest network policy that the user allows. Workspaces have no network so far: the ceiling
//! is kept all the same, so that it holds from the first day on which they have one.

use pyro_operations::{Code, Failure};

/// The widest network policy of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetworkCeiling {
    /// None at all.
    #[default]
    Off,
    /// Contacts with hosts out there; only these, where there are any.
    Egress {
        /// Hosts that may be contacted.
        allow_hosts: Vec<String>,
    },
}

impl NetworkCeiling {
    /// The policy of a workspace: what was asked for, where that is not wider.
    pub(crate) fn narrow(&self, asked: Option<&str>) -> Result<&'static str, Failure> {
        match (self, asked) {
            (_, None | Some("off")) => Ok("off"),
            (Self::Egress { .. }, Some("egress")) => Ok("egress"),
            (_, Some(_)) => {
                Err(Failure::new(Code::NotPermitted, "network: this server allows `off` only")
                    .hint("leave network out; bring what is needed in as files of the seed"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_never_wider_than_the_ceiling() {
        let egress = NetworkCeiling::Egress { allow_hosts: Vec::new() };
        assert_eq!(egress.narrow(None), Ok("off"));
        assert_eq!(egress.narrow(Some("egress")), Ok("egress"));
        for ceiling in [NetworkCeiling::Off, egress] {
            assert_eq!(ceiling.narrow(Some("off")), Ok("off"));
            assert_eq!(ceiling.narrow(Some("host")).unwrap_err().code, Code::NotPermitted);
        }
        let off = NetworkCeiling::Off.narrow(Some("egress")).unwrap_err();
        assert_eq!(off.code, Code::NotPermitted);
    }
}
