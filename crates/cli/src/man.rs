//! Man pages, from the declarations of the commands.

use cmdline::{Action, Command};

use crate::{
    context::Context,
    fail::{Done, Failed},
    output,
    tree::{PROGRAM, Run},
};

/// Writes a page for each command into a folder, or that of all to standard output.
pub(crate) async fn run(context: Context) -> Done {
    let folder = context.arg(0);
    if folder.is_empty() {
        return output::say(page(&[PROGRAM.root]));
    }
    let mut count = 0;
    each(&mut vec![PROGRAM.root], &mut |path| {
        let file = std::path::Path::new(folder).join(format!("{}.1", name(path, "-")));
        count += 1;
        let written = std::fs::write(&file, page(path));
        written.map_err(|error| Failed::new(format!("{} cannot be written: {error}", file.display())))
    })?;
    output::say(format!("{count} pages in {folder}\n"))
}

fn each(
    path: &mut Vec<&'static Command<Run>>,
    visit: &mut dyn FnMut(&[&'static Command<Run>]) -> Done,
) -> Done {
    visit(path)?;
    for command in path[path.len() - 1].commands {
        path.push(command);
        each(path, visit)?;
        path.pop();
    }
    Ok(())
}

fn name(path: &[&'static Command<Run>], between: &str) -> String {
    path.iter().map(|command| command.name).collect::<Vec<_>>().join(between)
}

/// Text for troff: no line may begin with a control character, and backslashes and dashes are themselves.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n")
}

fn page(path: &[&'static Command<Run>]) -> String {
    let command = path[path.len() - 1];
    let title = name(path, "-").to_uppercase();
    let mut text = format!(
        ".TH {} 1\n.SH NAME\n{} \\- {}\n",
        escape(&title),
        escape(&name(path, "-")),
        escape(command.short)
    );
    let usage = match command.action {
        Action::Folder => "COMMAND ...".to_owned(),
        _ => format!("[flags] {}", command.usage),
    };
    text.push_str(&format!(".SH SYNOPSIS\n.B {}\n{}\n", escape(&name(path, " ")), escape(usage.trim_end())));
    if !command.long.is_empty() {
        text.push_str(&format!(".SH DESCRIPTION\n{}\n", escape(command.long)));
    }
    if !command.commands.is_empty() {
        text.push_str(".SH COMMANDS\n");
        for below in command.commands {
            text.push_str(&format!(".TP\n.B {}\n{}\n", escape(below.name), escape(below.short)));
        }
    }
    let flags: Vec<_> = command
        .flags
        .iter()
        .chain(path.iter().flat_map(|command| command.persistent))
        .filter(|flag| !flag.hidden)
        .collect();
    if !flags.is_empty() {
        text.push_str(".SH FLAGS\n");
        for flag in flags {
            let short = flag.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
            let default = match flag.default {
                "" | "0" | "false" => String::new(),
                value => format!(" (default {value})"),
            };
            text.push_str(&format!(
                ".TP\n.B {}\n{}\n",
                escape(&format!("{short}--{}", flag.name)),
                escape(&format!("{}{default}", flag.help))
            ));
        }
    }
    if !command.example.is_empty() {
        text.push_str(&format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", escape(command.example)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let mut names = Vec::new();
        each(&mut vec![PROGRAM.root], &mut |path| {
            let page = page(path);
            assert!(page.starts_with(".TH ") && page.contains(".SH SYNOPSIS\n"), "{page}");
            assert!(!path[path.len() - 1].short.is_empty(), "{} says nothing", name(path, " "));
            names.push(name(path, " "));
            Ok(())
        })
        .unwrap();
        for wanted in
            ["mainstay get", "mainstay member add", "mainstay kv import", "mainstay lease keep-alive"]
        {
            assert!(names.iter().any(|name| name == wanted), "{wanted} has no page: {names:?}");
        }
    }

    #[test]
    fn lines_do_not_become_commands() {
        assert_eq!(escape(".x\n'y a-b\\"), "\\&.x\n\\&'y a\\-b\\e");
    }
}
