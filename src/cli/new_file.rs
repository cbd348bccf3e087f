//! A file that gets its name once it is whole.
//!
//! Owns where it is written until then, and that nothing is left behind when it is not. Never says what is in it.

use super::BadInput;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file in the making.
pub(super) struct NewFile {
    /// The place it will have.
    pub(super) path: PathBuf,
    /// What is written until then.
    pub(super) new: NamedTempFile,
}

impl NewFile {
    /// Begins one beside its place, on the same file system. `undone` says what was not done where it cannot be.
    pub(super) fn beside(path: &Path, undone: &str) -> anyhow::Result<Self> {
        let refused = |why: &dyn std::fmt::Display| BadInput::new(format!("{} cannot be written: {why}; {undone}", path.display()));
        // What a link leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            return Err(refused(&"it is not a file"));
        }
        let name = path.file_name().ok_or_else(|| refused(&"it is not the name of a file"))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = name.to_owned();
        prefix.push(".");
        let new = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            // As any new file: less what the umask takes away.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| refused(&error))?;
        Ok(Self { path, new })
    }

    /// Gives it its name, once the disk has all of it; on an error its place is as it was.
    pub(super) fn stand(self) -> io::Result<()> {
        let Self { path, new } = self;
        new.as_file().sync_all().and_then(|()| new.persist(&path).map(drop).map_err(|failed| failed.error))
    }
}
