//! `workspace_list`.

use pyro_model::{WorkspaceState, limits};
use pyro_operations::{
    Code, Failure,
    workspace::{WorkspaceList, WorkspaceListed, WorkspaceRow},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<WorkspaceList> for Engine {
    fn handle(&self, request: WorkspaceList, _: &Context) -> Result<WorkspaceListed, Failure> {
        self.sweep();
        let skip: usize = match &request.cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| {
                Failure::new(Code::InvalidArgument, "cursor: give next_cursor of the page before")
            })?,
        };
        let limit =
            usize::try_from(request.limit.unwrap_or(limits::LIST_PAGE)).unwrap_or(usize::MAX);
        let records = self.store().all().or_fail()?;
        let mut rows = Vec::new();
        let mut next_cursor = None;
        let wanted = records.iter().filter(|record| {
            request.labels.iter().all(|(key, value)| record.labels.get(key) == Some(value))
        });
        for (index, record) in wanted.enumerate().skip(skip) {
            let state = self.state(record)?;
            if request.state.is_some_and(|asked| asked != state) {
                continue;
            }
            if rows.len() == limit {
                next_cursor = Some(index.to_string());
                break;
            }
            rows.push(WorkspaceRow {
                workspace: record.id.to_string(),
                name: record.name.as_ref().map(ToString::to_string),
                labels: record
                    .labels
                    .iter()
                    .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
                    .collect(),
                state,
                environment: record.environment.clone(),
                isolation: record.isolation,
                origin_ref: record
                    .seed
                    .get("origin_ref")
                    .and_then(|origin| origin.as_str())
                    .map(str::to_owned),
                changed_files: record.changed_files,
                unexported: Self::unexported(record),
                last_activity_at: record.last_activity_at,
            });
        }
        let running = rows.iter().filter(|row| row.state == WorkspaceState::Running).count();
        let verdict = match rows.len() {
            0 if skip == 0 => "there are no workspaces; workspace_create makes one".to_owned(),
            1 => format!("1 workspace, {running} running"),
            n => format!("{n} workspaces, {running} running"),
        };
        Ok(WorkspaceListed { verdict, workspaces: rows, next_cursor, notices: Vec::new() })
    }
}
