//! Which machine runs a workspace, and how strongly it isolates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! spelled {
    ($type:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of the docs.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];
            /// As it is spelled on every door.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $text),+ }
            }
            /// The value with this spelling.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($type::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use spelled;

/// What runs a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineKind {
    /// Namespaces, an overlay root, seccomp: shares the host's kernel.
    Container,
    /// QEMU with a kernel of its own.
    Microvm,
}
spelled!(MachineKind { Container => "container", Microvm => "microvm" });

/// What the caller asks for; `auto` takes the strongest that is proven here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineChoice {
    /// `microvm` where KVM is proven to boot a guest, else `container`.
    Auto,
    /// Exactly the container.
    Container,
    /// Exactly the microVM.
    Microvm,
}
spelled!(MachineChoice { Auto => "auto", Container => "container", Microvm => "microvm" });

/// The isolation grade that every reply reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// The host's kernel behind namespaces and seccomp.
    Container,
    /// An own kernel behind hardware virtualisation.
    MicrovmKvm,
    /// An own kernel in an emulator.
    MicrovmEmulated,
}
spelled!(Isolation {
    Container => "container",
    MicrovmKvm => "microvm-kvm",
    MicrovmEmulated => "microvm-emulated",
});
