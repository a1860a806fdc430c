//! Tables with frames, as the library that etcdctl uses draws them.

/// Draws a table: heads in capitals and centred, cells to the right.
pub(crate) fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            cells.chain([width(&head[column])]).max().unwrap_or(0)
        })
        .collect();
    let rule = |left: char, middle: char, right: char| {
        let lines: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", lines.join(&middle.to_string()))
    };
    let row = |cells: Vec<String>| format!("│ {} │\n", cells.join(" │ "));
    let mut text = rule('┌', '┬', '┐');
    text.push_str(&row(head.iter().zip(&widths).map(|(name, width)| format!("{name:^width$}")).collect()));
    if !rows.is_empty() {
        text.push_str(&rule('├', '┼', '┤'));
    }
    for cells in rows {
        text.push_str(&row(cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect()));
    }
    text.push_str(&rule('└', '┴', '┘'));
    text
}
