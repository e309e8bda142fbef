//! Keys in the order of their text, found by walking the folders that can hold them.

use std::{fs, io, path::Path};

use domain::object::ObjectKey;

/// Most parts of a key: `CENTRE/STUDY/SERIES/INSTANCE/FILE`.
const PARTS_MAX: usize = 5;

/// At most `limit` keys below `root` after `after`.
pub(super) fn keys(root: &Path, after: Option<&ObjectKey>, limit: usize) -> io::Result<Vec<ObjectKey>> {
    let mut keys = Vec::new();
    let after = after.map_or("", ObjectKey::as_str);
    walk(root, "", 1, after, limit, &mut keys)?;
    Ok(keys)
}

fn walk(
    folder: &Path,
    prefix: &str,
    part: usize,
    after: &str,
    limit: usize,
    keys: &mut Vec<ObjectKey>,
) -> io::Result<()> {
    if keys.len() >= limit {
        return Ok(());
    }
    for name in sorted_names(folder)? {
        if keys.len() >= limit {
            return Ok(());
        }
        let path = format!("{prefix}{name}");
        if path.ends_with('/') {
            // A whole folder stands before `after` unless `after` lies in it.
            let passed = path.as_str() < after && !after.starts_with(&path);
            if part < PARTS_MAX && !passed {
                walk(&folder.join(&name), &path, part + 1, after, limit, keys)?;
            }
        } else if path.as_str() > after {
            keys.extend(ObjectKey::parse(&path));
        }
    }
    Ok(())
}

/// Names in a folder as they stand in keys: those of folders end with `/`, which decides between `1.2` and `1.2.3`.
fn sorted_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // Removed since it was seen.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            name.push('/');
        } else if !kind.is_file() {
            continue;
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}
