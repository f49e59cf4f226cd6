//! The microVMs' kernel, as a part of pulling an environment.

use pyro_environment::kernel::{InstalledKernel, KernelFrom, KernelOptions, KernelSource};
use pyro_operations::Failure;

use crate::{
    Context, Engine,
    failure::{IntoFailure, OrFail},
    microvm::{INSTALL, QEMU, program_of_host},
};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// The kernel in use, in words.
    pub(crate) kernel: Option<String>,
    pub(crate) pulled: bool,
    pub(crate) notices: Vec<String>,
}

impl Engine {
    /// Gets the kernel that was asked for, or where QEMU is installed any: failing at that is only
    /// told, since containers need none.
    pub(crate) fn kernel_too(
        &self,
        asked: Option<&str>,
        force: bool,
        context: &Context,
    ) -> Result<Got, Failure> {
        if asked.is_none() && program_of_host(QEMU).is_none() {
            let notice = format!(
                "QEMU is not installed, so workspaces run in containers; for microVMs run \
                 `{INSTALL}`, then pull again"
            );
            return Ok(Got { notices: vec![notice], ..Got::default() });
        }
        let kernels = self.kernels()?;
        // One that the user chose stays until another is asked for.
        let chosen = matches!(
            kernels.current(),
            Ok(Some(InstalledKernel {
                from: KernelFrom::Host { .. } | KernelFrom::File { .. },
                ..
            }))
        );
        let options = KernelOptions {
            source: asked.map(|text| KernelSource::parse(text, &context.cwd)),
            debian_mirror: self.settings().config.debian_mirror.clone(),
            force: force && (asked.is_some() || !chosen),
        };
        let pulled = kernels.pull(&options, &mut |step| context.say(step.detail, step.percent));
        match pulled {
            Ok(pulled) => {
                let passed_over = pulled
                    .passed_over
                    .into_iter()
                    .map(|why| format!("the kernel is from another source: failed to {why}"));
                Ok(Got {
                    kernel: Some(in_words(&pulled.kernel)),
                    pulled: !pulled.already_installed,
                    notices: passed_over.collect(),
                })
            }
            Err(error) if asked.is_some() => Err(error).or_fail(),
            Err(error) => {
                let failure = error.into_failure();
                let notice = format!(
                    "there is no kernel for microVMs: {}; {}",
                    failure.message, failure.hint
                );
                Ok(Got { notices: vec![notice], ..Got::default() })
            }
        }
    }
}

/// `6.1.0-56-cloud-amd64 from debian`.
pub(crate) fn in_words(kernel: &InstalledKernel) -> String {
    format!("{} from {}", kernel.release, kernel.from)
}
