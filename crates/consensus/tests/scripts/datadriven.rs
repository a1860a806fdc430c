//! The scripts' format: a command line, input lines, `----`, and the expected output up to an empty line.

/// One command with its recorded output.
#[derive(Debug)]
pub(crate) struct Case {
    /// Line of the command, from 1 on.
    pub(crate) line: usize,
    /// First word of the command line.
    pub(crate) command: String,
    /// The other words.
    pub(crate) args: Vec<Arg>,
    /// The lines before `----`, without white space around them.
    pub(crate) input: String,
    /// The recorded output, each line ended.
    pub(crate) expected: String,
}

/// A word of a command line: `key`, `key=value`, or `key=(value, value)`.
#[derive(Debug)]
pub(crate) struct Arg {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

impl Case {
    /// The value of `key=value`.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let arg = self.args.iter().find(|arg| arg.key == key)?;
        arg.values.first().map(String::as_str)
    }

    /// The words without value, as numbers.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let bare = self.args.iter().filter(|arg| arg.values.is_empty());
        bare.map(|arg| arg.key.parse().expect("a number")).collect()
    }
}

pub(crate) fn parse(text: &str) -> Vec<Case> {
    let mut lines = text.lines().enumerate().peekable();
    let mut cases = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (command, args) = parse_command(line);
        let mut input = Vec::new();
        for (_, line) in lines.by_ref() {
            if line == "----" {
                break;
            }
            input.push(line);
        }
        let mut expected = String::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
            assert_ne!(line, "----", "outputs with empty lines do not occur");
            expected.push_str(line);
            expected.push('\n');
        }
        let input = input.join("\n").trim().to_string();
        cases.push(Case { line: number + 1, command, args, input, expected });
    }
    cases
}

fn parse_command(line: &str) -> (String, Vec<Arg>) {
    assert!(!line.ends_with('\\'), "continued commands do not occur");
    let (command, mut rest) = cut_word(line);
    let mut args = Vec::new();
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let key = rest[..end].to_string();
        rest = &rest[end..];
        let mut values = Vec::new();
        if let Some(list) = rest.strip_prefix("=(") {
            let end = list.find(')').expect("a closed list");
            values.extend(list[..end].split(',').map(|value| value.trim().to_string()));
            rest = &list[end + 1..];
        } else if let Some(value) = rest.strip_prefix('=') {
            let (value, after) = cut_word(value);
            values.push(value);
            rest = after;
        }
        args.push(Arg { key, values });
    }
    (command, args)
}

fn cut_word(text: &str) -> (String, &str) {
    let end = text.find(' ').unwrap_or(text.len());
    (text[..end].to_string(), &text[end..])
}

#[test]
fn commands_are_cut_into_words() {
    let text = "# comment\n\ncmd 1 a=b c=(1, 2,_)\nin put\n----\none\ntwo\n\n\nlast\n----\n";
    let cases = parse(text);
    assert_eq!(cases.len(), 2);
    let case = &cases[0];
    assert_eq!((case.line, case.command.as_str(), case.input.as_str()), (3, "cmd", "in put"));
    assert_eq!(case.expected, "one\ntwo\n");
    assert_eq!((case.numbers(), case.value("a")), (vec![1], Some("b")));
    assert_eq!(case.args[2].values, ["1", "2", "_"]);
    assert_eq!((cases[1].command.as_str(), cases[1].expected.as_str()), ("last", ""));
}
