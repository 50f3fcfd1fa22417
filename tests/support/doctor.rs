//! What `doctor` prints.

use std::process::{Command, Output};

/// Runs `doctor` with the settings of `command`, and returns its exit code and both outputs, without the log. Texts that
/// differ between runs are replaced by names.
pub(crate) fn doctor(command: &mut Command, names: &[(&str, &str)]) -> String {
    let output = command.arg("doctor").env_remove("PORT").output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let mut text = [stdout, stderr].map(|it| String::from_utf8(it).unwrap());
    text[1] = text[1].lines().filter(|it| !it.starts_with('{')).collect();
    let mut text = format!("exit code {}\n{}", status.code().unwrap(), text.concat());
    for (value, name) in names {
        text = text.replace(value, name);
    }
    let lines = text.lines().map(|line| {
        // The path depends on the machine for which the test is built.
        let linker = line.split_once("needs this system's ");
        linker.map_or(line.to_owned(), |(before, _)| {
            format!("{before}needs this system's LINKER")
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines of these subjects, with what to do.
pub(crate) fn about(printed: &str, subjects: &[&str]) -> String {
    let mut wanted = false;
    let lines = printed.lines().filter(|line| {
        if !line.trim_start().starts_with("->") {
            let subject = line.split_whitespace().nth(1);
            wanted = subject.is_some_and(|it| subjects.contains(&it));
        }
        wanted
    });
    lines.collect::<Vec<_>>().join("\n")
}
