//! `environment_prune`.

use pyro_environment::{
    EnvironmentState,
    host::{remove_skeleton, skeleton_keys},
};
use pyro_operations::{
    Failure,
    environment::{EnvironmentPrune, EnvironmentPruned},
};

use super::choose::HOST;
use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<EnvironmentPrune> for Engine {
    fn handle(&self, request: EnvironmentPrune, _: &Context) -> Result<EnvironmentPruned, Failure> {
        let cache = self.environments()?;
        let (digests, _) = self.store().layers_in_use().or_fail()?;
        let used = |digest: &str| digests.iter().any(|known| known == digest);
        if request.dry_run {
            let mut reply = empty(true);
            for status in cache.list().or_fail()? {
                if let EnvironmentState::Installed { manifest } = status.state {
                    if used(manifest.digest.as_str()) {
                        reply.kept.push(status.name.to_string());
                    } else {
                        reply.bytes += manifest.bytes;
                        reply.removed.push(status.name.to_string());
                    }
                }
            }
            reply.verdict = format!("would remove {} environments", reply.removed.len());
            return Ok(reply);
        }
        let pruned = cache.prune(&|digest| used(digest.as_str())).or_fail()?;
        self.forget_skeletons()?;
        // Templates of what is gone now are gone too.
        self.collect_microvm();
        self.sweep();
        let mut reply = empty(false);
        for tree in pruned.removed {
            reply.bytes += tree.bytes;
            if tree.names.is_empty() {
                reply.removed.push(tree.digest.as_str().to_owned());
            }
            reply.removed.extend(tree.names.iter().map(ToString::to_string));
        }
        reply.kept = pruned.kept.iter().map(|digest| digest.as_str().to_owned()).collect();
        reply.verdict = format!("removed {} environments", reply.removed.len());
        Ok(reply)
    }
}

impl Engine {
    /// Removes the host environment's skeletons that no workspace was made with.
    fn forget_skeletons(&self) -> Result<(), Failure> {
        let home = self.layout().environments().join(HOST);
        let used: Vec<_> = self
            .store()
            .all()
            .or_fail()?
            .into_iter()
            .flat_map(|record| record.run.root_lowers)
            .collect();
        for key in skeleton_keys(&home).or_fail()? {
            let place = home.join(&key);
            if !used.iter().any(|lower| lower.starts_with(&place)) {
                remove_skeleton(&home, &key).or_fail()?;
            }
        }
        Ok(())
    }
}

fn empty(dry_run: bool) -> EnvironmentPruned {
    EnvironmentPruned {
        verdict: String::new(),
        removed: Vec::new(),
        kept: Vec::new(),
        bytes: 0,
        dry_run,
    }
}
