//! How deeply a query text is nested, before anything recursive looks at it.

/// More levels of brackets than any honest query has: selections, arguments and input objects together.
pub(crate) const LEVELS_MAX: usize = 64;

/// Whether brackets are open on more than this many levels at once. Brackets in strings and comments do not count.
pub(crate) fn exceeds(query: &str, levels_max: usize) -> bool {
    let bytes = query.as_bytes();
    let (mut at, mut levels) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b'{' | b'[' | b'(' => {
                levels += 1;
                if levels > levels_max {
                    return true;
                }
                at + 1
            }
            b'}' | b']' | b')' => {
                levels = levels.saturating_sub(1);
                at + 1
            }
            b'#' => at + bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count(),
            b'"' if bytes[at..].starts_with(br#"""""#) => block_end(bytes, at + 3),
            b'"' => string_end(bytes, at + 1),
            _ => at + 1,
        };
    }
    false
}

/// Behind the string that begins here; a line end ends it, too: then the parser refuses it.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\n' | b'\r' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn block_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        if bytes[at..].starts_with(br#"\""""#) {
            at += 4;
        } else if bytes[at..].starts_with(br#"""""#) {
            return at + 3;
        } else {
            at += 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::exceeds;

    #[test]
    fn brackets_are_counted_where_they_nest() {
        for (query, levels) in [
            ("{ a }", 1),
            ("{ a { b } c { d } }", 2),
            ("{ a(x: [[{y: 1}]]) }", 5),
            (r#"{ a(x: "[[[[\"[[[") }"#, 2),
            (r#"{ a(x: """[[" [[ \""" [[""") { b } }"#, 2),
            ("{ a # [[[[[[\n { b } }", 2),
            (r#"{ a(x: "[[["#, 2),
            (r#"""#, 0),
            ("}}}}{", 1),
        ] {
            assert!(!exceeds(query, levels), "{query}");
            assert!(levels == 0 || exceeds(query, levels - 1), "{query}");
        }
    }
}
