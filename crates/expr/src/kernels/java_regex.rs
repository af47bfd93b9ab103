//! Regular expressions as Java means them, for the `regex` crate.
//!
//! In Java `\\w`, `\\d`, `\\s` and `\\b` know ASCII only, unless the pattern has the flag `(?U)`; in the crate they
//! know Unicode. The same goes for the POSIX classes. Quoting with `\\Q…\\E` is the crate's own syntax spelt out.

/// The pattern with Java's classes written out.
pub fn translate(pattern: &str) -> String {
    if !pattern.contains('\\') || pattern.contains("(?U)") {
        return pattern.replace("(?U)", "");
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = 0usize;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '\\' => {
                rest = escape(rest, in_class > 0, &mut out);
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Writes what follows a backslash, and returns what is left.
fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> &'a str {
    if let Some(quoted) = rest.strip_prefix('Q') {
        let (text, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
        out.push_str(&regex::escape(text));
        return after;
    }
    if let Some(name) = rest.strip_prefix("p{").or_else(|| rest.strip_prefix("P{"))
        && let Some((name, after)) = name.split_once('}')
    {
        let negated = rest.starts_with('P');
        match posix(name) {
            Some(class) if negated => out.push_str(&format!("[^[:{class}:]]")),
            Some(class) => out.push_str(&format!("[[:{class}:]]")),
            None => {
                // `\p{IsAlphabetic}`, `\p{IsLatin}`: Java's prefix.
                let name = name.strip_prefix("Is").unwrap_or(name);
                out.push_str(&format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }));
            }
        }
        return after;
    }
    let Some(c) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let class = match c {
        'w' => Some(("0-9A-Za-z_", false)),
        'W' => Some(("0-9A-Za-z_", true)),
        'd' => Some(("0-9", false)),
        'D' => Some(("0-9", true)),
        's' => Some((" \\t\\n\\x0B\\f\\r", false)),
        'S' => Some((" \\t\\n\\x0B\\f\\r", true)),
        _ => None,
    };
    match class {
        Some((set, false)) if in_class => out.push_str(set),
        Some((set, negated)) => out.push_str(&format!("[{}{set}]", if negated { "^" } else { "" })),
        None if c == 'b' && !in_class => out.push_str("(?-u:\\b)"),
        // Not being at a word boundary splits no character, whose bytes are all no word characters.
        None if c == 'Z' => out.push_str("\\n?\\z"),
        // Java takes a backslash before any character that is no letter for that character.
        None if !c.is_ascii() => out.push(c),
        None => out.extend(['\\', c]),
    }
    &rest[c.len_utf8()..]
}

/// The crate's name of an ASCII class of Java's.
fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "Lower" => "lower",
        "Upper" => "upper",
        "ASCII" => "ascii",
        "Alpha" => "alpha",
        "Digit" => "digit",
        "Alnum" => "alnum",
        "Punct" => "punct",
        "Graph" => "graph",
        "Print" => "print",
        "Blank" => "blank",
        "Cntrl" => "cntrl",
        "XDigit" => "xdigit",
        "Space" => "space",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        regex::Regex::new(&translate(pattern)).unwrap().is_match(text)
    }

    #[test]
    fn classes_are_ascii() {
        assert!(!matches(r"^\w$", "é") && matches(r"^\w$", "_") && matches(r"^\W$", "é"));
        assert!(!matches(r"^\d$", "٣") && matches(r"^[\d٣]$", "٣") && matches(r"^[^\w]$", "é"));
        assert!(matches(r"^[\W]$", "é") && !matches(r"^\s$", "\u{a0}"));
        assert!(matches(r"^\p{Upper}$", "A") && !matches(r"^\p{Alpha}$", "ä") && matches(r"^\p{L}$", "ä"));
        assert!(matches(r"a\b", "aé"));
        assert!(matches(r"^\Qa.b\E$", "a.b") && !matches(r"^\Qa.b\E$", "axb"));
        assert!(matches(r"(?U)^\w$", "é"));
    }
}
