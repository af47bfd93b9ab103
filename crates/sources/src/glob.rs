//! Glob patterns in paths: `*`, `?`, `[a-z]`, `[!a]` and `{a,b}`. None of them matches a `/`.

use std::path::{Path, PathBuf};

use firesteel_common::{Error, Result};

/// Whether a path has characters of a pattern.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// The directories before the first that has a pattern, without a slash at the end.
pub(crate) fn fixed_prefix(pattern: &str) -> &str {
    let first = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    pattern[..first].rfind('/').map_or("", |slash| &pattern[..slash])
}

/// The existing paths that match an absolute pattern, sorted.
pub(crate) fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for pattern in alternatives(pattern) {
        let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
        descend(Path::new("/"), &parts, &mut found)?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn descend(at: &Path, parts: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        found.push(at.to_path_buf());
        return Ok(());
    };
    if !is_pattern(part) {
        let next = at.join(part);
        return if next.exists() { descend(&next, rest, found) } else { Ok(()) };
    }
    let Ok(entries) = std::fs::read_dir(at) else { return Ok(()) };
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(format!("{}: {e}", at.display())).with_source(e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && matches_part(part.as_bytes(), name.as_bytes()) {
            descend(&entry.path(), rest, found)?;
        }
    }
    Ok(())
}

/// Whether a whole path matches a pattern.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    alternatives(pattern).iter().any(|pattern| {
        let (mut wanted, mut have) = (pattern.split('/'), path.split('/'));
        loop {
            match (wanted.next(), have.next()) {
                (None, None) => return true,
                (Some(p), Some(name)) if matches_part(p.as_bytes(), name.as_bytes()) => {}
                _ => return false,
            }
        }
    })
}

/// The patterns that `{a,b}` stands for.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_string()] };
    let mut depth = 0;
    let mut commas = vec![open];
    let mut close = None;
    for (i, c) in pattern[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => commas.push(open + i),
            _ => {}
        }
        if depth == 0 {
            close = Some(open + i);
            break;
        }
    }
    let Some(close) = close else { return vec![pattern.to_string()] };
    commas.push(close);
    let options = commas.windows(2).map(|w| &pattern[w[0] + 1..w[1]]);
    options.flat_map(|o| alternatives(&format!("{}{o}{}", &pattern[..open], &pattern[close + 1..]))).collect()
}

fn matches_part(pattern: &[u8], name: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        b'*' => (0..=name.len()).any(|skip| matches_part(rest, &name[skip..])),
        b'?' => !name.is_empty() && matches_part(rest, &name[1..]),
        b'[' => {
            let (Some(end), Some((c, others))) = (rest.iter().position(|b| *b == b']'), name.split_first()) else {
                return false;
            };
            in_class(&rest[..end], *c) && matches_part(&rest[end + 1..], others)
        }
        b'\\' if !rest.is_empty() => name.first() == rest.first() && matches_part(&rest[1..], &name[1..]),
        c => name.first() == Some(c) && matches_part(rest, &name[1..]),
    }
}

fn in_class(class: &[u8], c: u8) -> bool {
    let (negated, class) = match class.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut at = 0;
    let mut found = false;
    while at < class.len() {
        let range = class.get(at + 1) == Some(&b'-') && at + 2 < class.len();
        let last = if range { class[at + 2] } else { class[at] };
        found |= (class[at]..=last).contains(&c);
        at += if range { 3 } else { 1 };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("a/*.parquet", "a/x.parquet"));
        assert!(!matches("a/*.parquet", "a/b/x.parquet"));
        assert!(matches("{a,b{1,2}}/part-[0-9]?", "b2/part-42"));
        assert!(!matches("x[!a-c]", "xb"));
        assert!(matches("*", "anything"));
        assert_eq!(fixed_prefix("data/y=*/f"), "data");
    }
}
