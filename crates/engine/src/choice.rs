//! Which machine runs a new workspace, and in which environment: what was asked for, never anything
//! else; where nothing was, the strongest that is proven here.

use pyro_machine_microvm::Verdict;
use pyro_model::{MachineChoice, MachineKind};
use pyro_operations::{Code, Failure};

use crate::{Config, Context, environment::HOST};

/// What a microVM starts from when nobody says: it has none of the host's toolchains.
pub(crate) const MICROVM_ENVIRONMENT: &str = "debian:12";

/// A machine and an environment that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) machine: MachineKind,
    pub(crate) environment: String,
    /// Why, where that is not what one would expect.
    pub(crate) notices: Vec<String>,
}

/// The machine that a request asks for: its own, the server's, the user's.
pub(crate) fn asked(
    request: Option<MachineChoice>,
    config: &Config,
    context: &Context,
) -> Result<MachineChoice, Failure> {
    let pinned = context.fence().and_then(|fence| fence.machine);
    match (request, pinned) {
        (Some(asked), Some(pinned)) if asked != pinned && pinned != MachineChoice::Auto => {
            Err(Failure::new(
                Code::NotPermitted,
                format!("machine: this server runs workspaces in `{pinned}` only"),
            )
            .hint("leave machine out"))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(pinned)) => Ok(pinned),
        (None, None) => match config.machine.as_deref() {
            None => Ok(MachineChoice::Auto),
            Some(text) => MachineChoice::parse(text).ok_or_else(|| {
                Failure::new(Code::InvalidArgument, format!("configuration: machine `{text}`"))
                    .hint("use auto, container or microvm")
            }),
        },
    }
}

/// The environment that a request names: its own, the server's, the user's, what the server's
/// story wants; else none.
pub(crate) fn named(
    request: Option<&str>,
    config: &Config,
    context: &Context,
) -> Result<Option<String>, Failure> {
    let Some(fence) = context.fence() else {
        return Ok(request.map(str::to_owned).or_else(|| config.environment.clone()));
    };
    if let Some(asked) = request {
        if fence.allows_environment(asked) {
            return Ok(Some(asked.to_owned()));
        }
        let failure = match &fence.environment {
            Some(pinned) => format!("environment: this server uses `{pinned}` only"),
            None => format!("environment: this server does not use `{asked}`"),
        };
        return Err(Failure::new(Code::NotPermitted, failure).hint("leave environment out"));
    }
    let configured = config.environment.as_ref().filter(|name| fence.allows_environment(name));
    let recommended = || fence.recommended_environment.map(str::to_owned);
    Ok(fence.environment.clone().or_else(|| configured.cloned()).or_else(recommended))
}

/// Brings both together. `kvm` is asked only where it matters.
pub(crate) fn decide(
    asked: MachineChoice,
    named: Option<String>,
    kvm: impl FnOnce() -> Verdict,
) -> Result<Choice, Failure> {
    let choice =
        |machine, environment: String| Choice { machine, environment, notices: Vec::new() };
    match (asked, named) {
        (MachineChoice::Microvm, Some(name)) if name == HOST => Err(Failure::new(
            Code::Unsupported,
            "environment `host` in a microVM: the host's own toolchains are shown to containers only",
        )
        .hint(format!(
            "take environment `{MICROVM_ENVIRONMENT}`, or machine `container` for `host`"
        ))
        .detail("instead", format!("environment `{MICROVM_ENVIRONMENT}`"))),
        (MachineChoice::Microvm, Some(name)) => Ok(choice(MachineKind::Microvm, name)),
        (MachineChoice::Microvm, None) => Ok(Choice {
            notices: vec![format!(
                "environment `{MICROVM_ENVIRONMENT}` was chosen: `host` runs in a container only"
            )],
            ..choice(MachineKind::Microvm, MICROVM_ENVIRONMENT.to_owned())
        }),
        (MachineChoice::Container, name) => {
            Ok(choice(MachineKind::Container, name.unwrap_or_else(|| HOST.to_owned())))
        }
        (MachineChoice::Auto, None) => Ok(choice(MachineKind::Container, HOST.to_owned())),
        (MachineChoice::Auto, Some(name)) if name == HOST => {
            Ok(choice(MachineKind::Container, name))
        }
        (MachineChoice::Auto, Some(name)) => {
            let verdict = kvm();
            if verdict.works {
                return Ok(choice(MachineKind::Microvm, name));
            }
            Ok(Choice {
                notices: vec![format!("a container was chosen: {}", verdict.reason)],
                ..choice(MachineKind::Container, name)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Door, Fence};

    #[test]
    fn the_environment_is_the_server_s_before_the_user_s_before_the_story_s() {
        let named = |fence: Fence, configured: Option<&str>, asked: Option<&str>| {
            let context = Context::new(Door::Mcp, "/".into()).unwrap();
            let context = Context { fence: Some(Arc::new(fence)), ..context };
            let environment = configured.map(str::to_owned);
            let config = Config { environment, ..Config::default() };
            named(asked, &config, &context).map_err(|failure| failure.code)
        };
        let text = |text: &str| Ok(Some(text.to_owned()));
        let story = || Fence {
            recommended_environment: Some("debian:12"),
            without_host: true,
            ..Fence::default()
        };
        assert_eq!(named(Fence::default(), None, None), Ok(None));
        assert_eq!(named(Fence::default(), Some("a"), None), text("a"));
        assert_eq!(named(story(), None, None), text("debian:12"));
        assert_eq!(named(story(), Some("a"), None), text("a"));
        assert_eq!(named(story(), Some(HOST), None), text("debian:12"));
        assert_eq!(named(story(), None, Some("b")), text("b"));
        assert_eq!(named(story(), None, Some(HOST)), Err(Code::NotPermitted));
        let pinned = || Fence { environment: Some("p".to_owned()), ..story() };
        assert_eq!(named(pinned(), Some("a"), None), text("p"));
        assert_eq!(named(pinned(), None, Some("p")), text("p"));
        assert_eq!(named(pinned(), None, Some("debian:12")), Err(Code::NotPermitted));
    }

    fn kvm(works: bool) -> Verdict {
        Verdict { works, reason: "KVM did not boot a guest".to_owned() }
    }

    fn decided(asked: MachineChoice, named: Option<&str>, works: bool) -> (MachineKind, String) {
        let choice = decide(asked, named.map(str::to_owned), || kvm(works)).unwrap();
        (choice.machine, choice.environment)
    }

    #[test]
    fn auto_takes_a_microvm_only_where_kvm_is_proven_and_the_environment_has_one() {
        use MachineChoice::Auto;
        let container = MachineKind::Container;
        assert_eq!(decided(Auto, None, true), (container, "host".to_owned()));
        assert_eq!(decided(Auto, Some("host"), true), (container, "host".to_owned()));
        assert_eq!(decided(Auto, Some("a"), true), (MachineKind::Microvm, "a".to_owned()));
        assert_eq!(decided(Auto, Some("a"), false), (container, "a".to_owned()));
        let told = decide(Auto, Some("a".to_owned()), || kvm(false)).unwrap().notices;
        assert!(told[0].contains("did not boot"), "{told:?}");
    }

    #[test]
    fn what_is_asked_for_is_never_replaced_and_never_probed() {
        let probed = || unreachable!("nobody asked what is proven");
        let decide = |asked, named: Option<&str>| decide(asked, named.map(str::to_owned), probed);
        let chosen = decide(MachineChoice::Container, Some("a")).unwrap();
        assert_eq!(chosen.machine, MachineKind::Container);
        let chosen = decide(MachineChoice::Microvm, None).unwrap();
        assert_eq!((chosen.machine, &*chosen.environment), (MachineKind::Microvm, "debian:12"));
        assert_eq!(chosen.notices.len(), 1);
        assert_eq!(decide(MachineChoice::Microvm, Some("a")).unwrap().notices.len(), 0);
        let refused = decide(MachineChoice::Microvm, Some("host")).unwrap_err();
        assert_eq!(refused.code, Code::Unsupported);
        assert!(refused.details.contains_key("instead"));
    }
}
