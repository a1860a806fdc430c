//! Scripts that complete command lines in shells: they hold a table of what may follow each command.

use crate::{Command, Program, parse::known};

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
    /// PowerShell.
    PowerShell,
}

impl Shell {
    /// By its name.
    pub fn from_name(name: &str) -> Option<Shell> {
        Some(match name {
            "bash" => Shell::Bash,
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            "powershell" => Shell::PowerShell,
            _ => return None,
        })
    }
}

/// What may follow a command.
struct Row {
    /// Names from below the root.
    path: String,
    /// Words and what they are for.
    words: Vec<(String, &'static str)>,
}

/// The script for a shell.
pub fn script<R>(program: &Program<R>, shell: Shell) -> String {
    let name = program.root.name;
    let mut rows = Vec::new();
    collect(&mut vec![program.root], &mut rows);
    match shell {
        Shell::Bash => bash(name, &rows),
        Shell::Zsh => zsh(name, &rows),
        Shell::Fish => fish(name, &rows),
        Shell::PowerShell => powershell(name, &rows),
    }
}

fn collect<R>(path: &mut Vec<&'static Command<R>>, rows: &mut Vec<Row>) {
    let command = path[path.len() - 1];
    let mut words: Vec<_> =
        command.commands.iter().map(|below| (below.name.to_owned(), below.short)).collect();
    words.extend(known(path).iter().map(|entry| (format!("--{}", entry.flag.name), entry.flag.help)));
    words.push(("--help".to_owned(), "Show help"));
    words.sort();
    words.dedup_by(|a, b| a.0 == b.0);
    let names: Vec<_> = path[1..].iter().map(|command| command.name).collect();
    rows.push(Row { path: names.join(" "), words });
    for below in command.commands {
        path.push(below);
        collect(path, rows);
        path.pop();
    }
}

/// Words of one row with blanks between them.
fn plain(row: &Row) -> String {
    row.words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")
}

/// A text in single quotes; `inner` stands for a quote in it.
fn single(text: &str, inner: &str) -> String {
    format!("'{}'", text.replace('\'', inner))
}

fn bash(name: &str, rows: &[Row]) -> String {
    let mut cases = String::new();
    for row in rows {
        cases.push_str(&format!(
            "    {}) words={} ;;\n",
            single(&row.path, "'\\''"),
            single(&plain(row), "'\\''")
        ));
    }
    format!(
        "# bash completion for {name}\n\
         _{name}_words() {{\n  case \"$1\" in\n{cases}    *) return 1 ;;\n  esac\n}}\n\
         _{name}() {{\n  local words='' path='' next word\n  \
         for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    \
         case \"$word\" in -*) continue ;; esac\n    next=\"${{path:+$path }}$word\"\n    \
         if _{name}_words \"$next\"; then path=\"$next\"; fi\n  done\n  \
         _{name}_words \"$path\"\n  COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\n\
         complete -o default -F _{name} {name}\n"
    )
}

fn zsh(name: &str, rows: &[Row]) -> String {
    let mut cases = String::new();
    for row in rows {
        let words: Vec<_> = row
            .words
            .iter()
            .map(|(word, about)| single(&format!("{word}:{}", about.replace(':', "\\:")), "'\\''"))
            .collect();
        cases.push_str(&format!("    {}) found=({}) ;;\n", single(&row.path, "'\\''"), words.join(" ")));
    }
    format!(
        "#compdef {name}\n# zsh completion for {name}\n\
         _{name}_words() {{\n  case \"$1\" in\n{cases}    *) return 1 ;;\n  esac\n}}\n\
         _{name}() {{\n  local -a found\n  local path_='' next word\n  \
         for word in \"${{(@)words[2,CURRENT-1]}}\"; do\n    \
         case \"$word\" in -*) continue ;; esac\n    next=\"${{path_:+$path_ }}$word\"\n    \
         if _{name}_words \"$next\"; then path_=\"$next\"; fi\n  done\n  \
         _{name}_words \"$path_\"\n  _describe '{name}' found || _files\n}}\n\
         if [ \"$funcstack[1]\" = \"_{name}\" ]; then _{name} \"$@\"; else compdef _{name} {name}; fi\n"
    )
}

fn fish(name: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "# fish completion for {name}\n\
         function __{name}_at\n    set -l path\n    \
         for word in (commandline -opc)[2..-1]\n        \
         string match -q -- '-*' $word; or set -a path $word\n    end\n    \
         string match -q -- \"$argv[1]*\" \"$path\"\nend\n\
         complete -c {name} -f\n"
    );
    for row in rows {
        for (word, about) in &row.words {
            let at = single(&format!("__{name}_at {}", single(&row.path, "\\'")), "\\'");
            let about = single(&about.replace('\\', "\\\\"), "\\'");
            let line = match word.strip_prefix("--") {
                Some(flag) => format!("complete -c {name} -n {at} -l {flag} -d {about}\n"),
                None => format!("complete -c {name} -n {at} -a {word} -d {about}\n"),
            };
            text.push_str(&line);
        }
    }
    text
}

fn powershell(name: &str, rows: &[Row]) -> String {
    let mut table = String::new();
    for row in rows {
        table.push_str(&format!("    {} = {}\n", single(&row.path, "''"), single(&plain(row), "''")));
    }
    format!(
        "# powershell completion for {name}\n\
         Register-ArgumentCompleter -Native -CommandName '{name}' -ScriptBlock {{\n  \
         param($wordToComplete, $commandAst, $cursorPosition)\n  $table = @{{\n{table}  }}\n  $path = ''\n  \
         foreach ($element in $commandAst.CommandElements | Select-Object -Skip 1) {{\n    \
         $next = \"$path $element\".Trim()\n    if ($table.ContainsKey($next)) {{ $path = $next }}\n  }}\n  \
         $table[$path].Split(' ') | Where-Object {{ $_ -like \"$wordToComplete*\" }} | ForEach-Object {{\n    \
         [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)\n  }}\n}}\n"
    )
}
