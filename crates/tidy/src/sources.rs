//! Rules for source files: headers, line lengths, leftovers, function lengths.

use std::path::Path;

use crate::Violation;

/// Most characters of a line. rustfmt breaks code at 110; what it cannot break (strings, macros, comments) may be a little longer.
pub const LINE_LIMIT: usize = 140;

/// The beginning of a raw string: texts that are compared to the letter are as long as they are.
const RAW_STRING: &str = "r#\"";

/// The longest function, in lines from its `fn` to its closing brace.
pub const FUNCTION_LIMIT: usize = 100;

// Written apart so that this file does not find itself.
const LEFTOVER_WORDS: [&str; 2] = [concat!("FIX", "ME"), concat!("TO", "DO")];
const LEFTOVER_CALLS: [&str; 2] = [concat!("to", "do!"), concat!("unimple", "mented!")];

/// A module that does not begin by saying what it is.
#[must_use]
pub fn missing_header(file: &Path, text: &str) -> Option<Violation> {
    (!text.starts_with("//!"))
        .then(|| format!("{}:1: begin with //! and what this module is", file.display()))
}

/// Lines over [`LINE_LIMIT`].
#[must_use]
pub fn long_lines(file: &Path, text: &str) -> Vec<Violation> {
    let lines = text.lines().enumerate();
    let long = lines.filter_map(|(index, line)| {
        let length = line.chars().count();
        (length > LINE_LIMIT && !line.contains(RAW_STRING))
            .then(|| format!("{}:{}: {length} characters, limit {LINE_LIMIT}", file.display(), index + 1))
    });
    long.collect()
}

/// Notes to self and calls that panic for want of an implementation.
#[must_use]
pub fn leftovers(file: &Path, text: &str) -> Vec<Violation> {
    let code = code_only(text);
    let mut violations = Vec::new();
    for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let word = LEFTOVER_WORDS.iter().find(|word| has_word(line, word));
        let call = LEFTOVER_CALLS.iter().find(|call| code.contains(**call));
        if let Some(found) = word.or(call) {
            violations.push(format!("{}:{}: {found}", file.display(), index + 1));
        }
    }
    violations
}

/// Functions over [`FUNCTION_LIMIT`].
#[must_use]
pub fn long_functions(file: &Path, text: &str) -> Vec<Violation> {
    let code = code_only(text);
    let mut violations = Vec::new();
    for start in function_starts(&code) {
        let Some(end) = function_end(&code[start..]) else { continue };
        let lines = code[start..start + end].matches('\n').count() + 1;
        if lines > FUNCTION_LIMIT {
            let first = code[..start].matches('\n').count() + 1;
            violations.push(format!(
                "{}:{first}: a function of {lines} lines, limit {FUNCTION_LIMIT}",
                file.display()
            ));
        }
    }
    violations
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word)
    })
}

fn function_starts(code: &str) -> impl Iterator<Item = usize> + '_ {
    code.match_indices("fn ").map(|(at, _)| at).filter(|at| {
        let before = code[..*at].chars().next_back();
        let named =
            code[at + 3..].starts_with(|character: char| character.is_alphabetic() || character == '_');
        named && before.is_none_or(|character| !character.is_alphanumeric() && character != '_')
    })
}

/// The length up to and with the closing brace; `None` for a declaration without a body.
fn function_end(code: &str) -> Option<usize> {
    let mut brackets = 0_i32;
    let mut braces = 0_i32;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The text with the content of comments, strings and character literals turned into blanks; lines stay lines.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|character: char| character.is_alphanumeric() || character == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_length(rest)
        } else if first == '"' {
            string_length(rest)
        } else if !after_word && let Some(length) = raw_string_length(rest) {
            length
        } else if first == '\'' {
            character_length(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    code
}

fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string_length(text: &str) -> Option<usize> {
    let opening = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = opening.len() - opening.trim_start_matches('#').len();
    let content = opening[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let prefix = text.len() - content.len();
    Some(content.find(&closing).map_or(text.len(), |at| prefix + at + closing.len()))
}

/// The length of a character literal, or of the apostrophe alone where it begins a lifetime.
fn character_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 3)
        }
        Some(_) => characters.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> &'static Path {
        Path::new("sample.rs")
    }

    #[test]
    fn a_module_without_a_header_is_found() {
        assert!(missing_header(file(), "use std::fs;\n").is_some());
        assert!(missing_header(file(), "//! What it is.\n").is_none());
    }

    #[test]
    fn a_long_line_is_found_but_not_in_a_raw_string() {
        let just = "x".repeat(LINE_LIMIT);
        let code = format!("{just}x");
        let comment = format!("// {just}");
        let golden = format!("const GOLDEN: &str = r#\"{just}\"#;");
        let text = format!("ok\n{just}\n{code}\n{comment}\n{golden}\n");
        assert_eq!(long_lines(file(), &text).len(), 2);
    }

    #[test]
    fn leftovers_are_found_but_not_in_other_words() {
        let comment = format!("// {}: later\n", LEFTOVER_WORDS[0]);
        let call = format!("fn f() {{ {}() }}\n", LEFTOVER_CALLS[0]);
        let other = format!("let MASTO{}N = \"{}\";\n", "DO", LEFTOVER_CALLS[1]);
        assert_eq!(leftovers(file(), &comment), [format!("sample.rs:1: {}", LEFTOVER_WORDS[0])]);
        assert_eq!(leftovers(file(), &call).len(), 1);
        assert!(leftovers(file(), &other).is_empty());
    }

    #[test]
    fn a_long_function_is_found_whatever_its_strings_hold() {
        let body = "    let text = \"}\"; // }\n    let brace = '}';\n".repeat(FUNCTION_LIMIT / 2);
        let long =
            format!("trait T {{\n    fn declared(&self, size: [u8; 4]);\n}}\n\nfn long<'a>() {{\n{body}}}\n");
        assert_eq!(
            long_functions(file(), &long),
            [format!("sample.rs:5: a function of {} lines, limit {FUNCTION_LIMIT}", FUNCTION_LIMIT + 2)]
        );
        let short = format!("fn short() {{\n    let text = r#\"\n{}\"#;\n}}\n", "{\n".repeat(10));
        assert!(long_functions(file(), &short).is_empty());
    }

    #[test]
    fn only_code_is_left() {
        let text = "a /* b /* c */ d */ e // f\n'g' 'h \"i\\\"j\" br##\"k\"#l\"## '\\'' m";
        let words: Vec<String> = code_only(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["a", "e", "h", "m"]);
    }
}
