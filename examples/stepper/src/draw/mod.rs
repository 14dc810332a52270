//! A picture of what is to be seen.

mod bars;
mod menu;
mod panes;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect, Spacing};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::merge::MergeStrategy;
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use crate::screen::{Overlay, Run, Screen};

/// What the terminal is good for. Nothing is told by colour alone, so it can do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// No sign but those of ASCII.
    pub ascii: bool,
    /// No colours; bold, dim and reversed letters stay.
    pub plain: bool,
}

/// The smallest window that all of it fits into.
const SMALLEST: (u16, u16) = (60, 16);

/// From this height on there is room for the output.
const TALL: u16 = 32;

/// Draws all that is to be seen.
pub fn draw(screen: &mut Screen, look: Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = SMALLEST;
    if area.width < width || area.height < height {
        let text = format!("This window is {} by {}. The stepper needs {width} by {height}.", area.width, area.height);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    } else {
        match screen {
            Screen::Menu(menu) => menu::draw(menu, frame),
            Screen::Run(run) => draw_run(run, frame),
        }
    }
    restrict(frame.buffer_mut(), look);
}

fn draw_run(run: &mut Run, frame: &mut Frame<'_>) {
    let line = Constraint::Length(1);
    let said = bars::said(run, frame.area().width);
    let [told, middle, scrub, status, keys] =
        Layout::vertical([line, Constraint::Fill(1), line, Constraint::Length(said), line]).areas(frame.area());
    let is_tall = frame.area().height >= TALL;
    let mut heights = vec![Constraint::Fill(5), Constraint::Fill(4)];
    heights.extend(is_tall.then_some(Constraint::Length(7)));
    // Neighbours share a border.
    let rows = Layout::vertical(heights).spacing(Spacing::Overlap(1)).split(middle);
    let columns = Layout::horizontal([Constraint::Percentage(53), Constraint::Fill(1)]).spacing(Spacing::Overlap(1));
    let [source, conversation] = columns.areas(rows[0]);
    let [tasks, turn] = columns.areas(rows[1]);

    bars::told(&run.walk, frame, told);
    panes::source(&mut run.walk, frame, source);
    panes::conversation(&run.walk, frame, conversation);
    panes::tasks(&run.walk, frame, tasks);
    match rows.get(2) {
        None if run.output => panes::output(&run.walk, frame, turn),
        below => {
            panes::turn(&run.walk, frame, turn);
            below.into_iter().for_each(|below| panes::output(&run.walk, frame, *below));
        }
    }
    bars::scrub(&run.walk, frame, scrub);
    bars::status(run, frame, status);
    bars::keys(frame, keys);
    if let Some(overlay) = &mut run.overlay {
        draw_overlay(overlay, frame);
    }
}

/// A text over the panes, no larger than it has to be. Where there is more of it than room, the border says so.
fn draw_overlay(overlay: &mut Overlay, frame: &mut Frame<'_>) {
    let all = frame.area();
    let (lines, columns) = overlay.size();
    // Inside the border.
    let room = (usize::from(all.height) - 2, usize::from(all.width) - 2);
    let shown = (lines.min(room.0), columns.min(room.1));
    let fits = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    overlay.most = (fits(lines - shown.0), fits(columns - shown.1));
    overlay.scroll = (overlay.scroll.0.min(overlay.most.0), overlay.scroll.1.min(overlay.most.1));
    let part = |what: &str, scroll: u16, shown: usize, all: usize| {
        let first = usize::from(scroll) + 1;
        (shown < all).then(|| format!("{what} {first}-{} of {all}", first + shown - 1))
    };
    let (down, right) = overlay.scroll;
    let parts = [part("lines", down, shown.0, lines), part("columns", right, shown.1, columns)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let more = if parts.is_empty() { String::new() } else { format!(" arrows: {} ", parts.join(", ")) };
    let widest = shown.1.max(overlay.title.chars().count() + 2).max(more.chars().count()).min(room.1);
    let area = all.centered(Constraint::Length(fits(widest + 2)), Constraint::Length(fits(shown.0 + 2)));
    let block = Block::bordered().title(format!(" {} ", overlay.title)).title_bottom(more);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(&*overlay.text).scroll(overlay.scroll).block(block), area);
}

/// A pane with its title, and what is left inside.
fn pane(title: &str, frame: &mut Frame<'_>, area: Rect) -> Rect {
    let title = cut(&format!(" {title} "), usize::from(area.width.saturating_sub(2)));
    let block = Block::bordered().merge_borders(MergeStrategy::Exact).border_style(DIM).title(title);
    let inner = block.inner(area);
    frame.render_widget(block.title_style(Style::reset()), area);
    inner
}

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The colour of a sign, for those who see it.
fn tinted(sign: char) -> Style {
    Style::new().fg(match sign {
        '►' => Color::Green,
        '●' | '○' => Color::Yellow,
        '■' => Color::Cyan,
        '✘' => Color::Red,
        _ => Color::Reset,
    })
}

/// What fits of a text, with a sign for the rest.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}

/// What a terminal cannot show is replaced, cell by cell, after all is drawn.
fn restrict(buffer: &mut Buffer, look: Look) {
    for cell in &mut buffer.content {
        if look.plain {
            cell.set_fg(Color::Reset).set_bg(Color::Reset);
        }
        if look.ascii && !cell.symbol().is_ascii() {
            let symbol = ascii(cell.symbol().chars().next().unwrap_or(' '));
            cell.set_char(symbol);
        }
    }
}

fn ascii(sign: char) -> char {
    match sign {
        '│' => '|',
        '─' | '–' | '—' => '-',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
        '►' | '▸' | '→' => '>',
        '◄' | '←' => '<',
        '■' => '#',
        '●' => '*',
        '○' => 'o',
        '◆' | '↑' => '^',
        '↓' => 'v',
        '✔' => '=',
        '✘' => 'x',
        '·' | '╌' => '.',
        '…' => '~',
        _ => '?',
    }
}
