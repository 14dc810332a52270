//! The list of the examples.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::{BOLD, DIM, cut, pane};
use crate::path::Example;
use crate::screen::Menu;

pub(super) fn draw(menu: &Menu, frame: &mut Frame<'_>) {
    let rows = Layout::vertical([Constraint::Fill(1), Constraint::Length(3), Constraint::Length(1)]);
    let [list, lesson, keys] = rows.areas(frame.area());
    let title = format!("the learning path: {} of {}", menu.chosen + 1, Example::all().len());
    let inside = pane(&title, frame, list);
    let (height, width) = (usize::from(inside.height), usize::from(inside.width));
    // The chosen one stays near the middle.
    let first = menu.chosen.saturating_sub(height / 2).min(Example::all().len().saturating_sub(height));
    let longest = Example::all().iter().map(|example| example.name.len()).max().unwrap_or(0);
    let lines = Example::all().iter().enumerate().skip(first).take(height).map(|(n, example)| {
        let (sign, style) = match n == menu.chosen {
            true => ('▸', Style::new().add_modifier(Modifier::REVERSED)),
            false => (' ', Style::new()),
        };
        let line = format!("{sign} {:longest$}  {}", example.name, example.lesson());
        Line::styled(format!("{:width$}", cut(&line, width)), style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inside);
    let chosen = Example::all()[menu.chosen].lesson();
    frame.render_widget(Paragraph::new(chosen).wrap(Wrap { trim: true }).style(BOLD), lesson);
    frame.render_widget(
        Paragraph::new("Enter runs it, and shows the record   ↑↓ PgUp PgDn Home End choose   q quits").style(DIM),
        keys,
    );
}
