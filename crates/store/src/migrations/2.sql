-- Why a machine ended, where nobody asked it to.
ALTER TABLE workspaces ADD COLUMN state_reason TEXT;
