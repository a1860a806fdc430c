//! Commands that somebody may have meant.

use crate::{Action, Command};

/// Typing errors between a word and a name that is offered for it.
const DISTANCE_MAX: usize = 2;

/// The names that are near a word, for the end of an error; empty when there are none.
pub(crate) fn for_word<R>(command: &Command<R>, word: &str) -> String {
    let typed = word.to_lowercase();
    let near = |name: &str| distance(&typed, name) <= DISTANCE_MAX || name.starts_with(&typed);
    let names: Vec<_> = command
        .commands
        .iter()
        .filter(|command| !matches!(command.action, Action::Help))
        .map(|command| command.name)
        .filter(|name| near(name))
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("\n\nDid you mean this?\n\t{}\n", names.join("\n\t")),
    }
}

/// How many letters must be put in, taken out or exchanged to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, count) in
            [("", "", 0), ("a", "", 1), ("putt", "put", 1), ("putt", "auth", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), count, "{a} {b}");
        }
    }
}
