//! The lines above and below the panes.

use corio::observe::event::Event;
use corio::observe::{Seconds, Walk};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{BOLD, DIM, cut};
use crate::screen::{Run, wrapped};

/// Keys worth knowing from the start, the most important first.
const KEYS: [(&str, &str); 10] = [
    ("Enter", "resume"),
    ("e", "event"),
    ("c", "cause"),
    ("p", "back"),
    ("h", "help"),
    ("q", "quit"),
    ("?", "why"),
    ("w", "where"),
    ("n", "next"),
    ("O", "output"),
];

/// The step in words.
pub(super) fn told(walk: &Walk, frame: &mut Frame<'_>, area: Rect) {
    let (replay, told) = (walk.replay(), walk.replay().told());
    // Columns are for many lines, not for one.
    let mut words = told.split_whitespace();
    let mut text = match replay.record().map(|record| record.event) {
        None => "before the first step".to_owned(),
        Some(Event::Out { task: task @ 1.., .. }) => format!("{} prints: ", replay.names().task(task)),
        Some(Event::Out { .. } | Event::Mark { .. }) => String::new(),
        Some(_) => {
            words.by_ref().take(2).for_each(drop); // the step and the clock, which stand below
            String::new()
        }
    };
    text += &words.collect::<Vec<_>>().join(" ");
    let is_printed = matches!(replay.record().map(|record| record.event), Some(Event::Out { .. } | Event::Mark { .. }));
    if text.chars().count() > usize::from(area.width) && !is_printed {
        text = without_call(&text);
    }
    frame.render_widget(Line::styled(cut(&text, area.width.into()), BOLD), area);
}

/// What is told, without the call that it quotes: the program's own pane shows that.
fn without_call(told: &str) -> String {
    match (told.find(" `"), told.rfind('`')) {
        (Some(from), Some(to)) if from + 1 < to => format!("{}{}", &told[..from], &told[to + 1..]),
        _ => told.to_owned(),
    }
}

/// Where in the run this step is, and where its marks are.
pub(super) fn scrub(walk: &Walk, frame: &mut Frame<'_>, area: Rect) {
    let replay = walk.replay();
    let (step, steps) = (replay.step(), replay.steps());
    let before = format!("step {step}/{steps} ");
    let end = replay.records().last().map_or(0, |record| record.at);
    let after = format!(" {} of {} s", Seconds(replay.state().now), Seconds(end));
    let width = usize::from(area.width).saturating_sub(before.len() + after.len()).max(1);
    let place = |step: u64| usize::try_from(step * (width as u64 - 1) / steps.max(1)).unwrap_or(0);
    let mut bar = vec!['─'; width];
    for (step, _) in marks(walk) {
        bar[place(step)] = '◆';
    }
    bar[place(step)] = '●';
    let bar: String = bar.into_iter().collect();
    frame.render_widget(Line::from(vec![Span::raw(before), Span::styled(bar, DIM), Span::raw(after)]), area);
}

/// The steps that the program has named.
fn marks(walk: &Walk) -> impl Iterator<Item = (u64, &str)> {
    walk.replay().records().iter().filter_map(|record| match record.event {
        Event::Mark { text } => Some((record.seq, walk.replay().names().text(text))),
        _ => None,
    })
}

/// How many lines the last key's words take: what does not fit into one goes on in the next.
pub(super) fn said(run: &Run, width: u16) -> u16 {
    const MOST: usize = 3;
    match &run.prompt {
        Some(_) => 1,
        None => wrapped(&run.message, width.into()).len().min(MOST) as u16,
    }
}

/// What the last key had to say, or what is being typed.
pub(super) fn status(run: &Run, frame: &mut Frame<'_>, area: Rect) {
    let Some((letter, typed)) = &run.prompt else {
        frame.render_widget(Paragraph::new(wrapped(&run.message, area.width.into()).join("\n")), area);
        return;
    };
    let letters = Walk::letters().find(|(usage, _)| usage.starts_with(&format!("{letter} ")));
    let (usage, mut does) = letters.map(|(usage, does)| (usage, does.to_owned())).unwrap_or_default();
    if *letter == 'm' {
        // Of these no other pane tells.
        let marks = marks(&run.walk).map(|(_, name)| name).collect::<Vec<_>>();
        does = if marks.is_empty() { "there is none".to_owned() } else { marks.join(", ") };
    }
    let prompt = format!("{usage} ({}): ", cut(&does, usize::from(area.width) * 2 / 3));
    let width = usize::from(area.width).saturating_sub(prompt.chars().count() + 1);
    // Of what is too long, the end is what is being typed.
    let end: String = typed.chars().skip(typed.chars().count().saturating_sub(width)).collect();
    let column = prompt.chars().count() + end.chars().count();
    frame.render_widget(Line::from(vec![Span::styled(prompt, DIM), Span::raw(end)]), area);
    let column = area.x.saturating_add(u16::try_from(column).unwrap_or(0)).min(area.right() - 1);
    frame.set_cursor_position((column, area.y));
}

/// As many keys as there is room for.
pub(super) fn keys(frame: &mut Frame<'_>, area: Rect) {
    let mut spans = Vec::new();
    let mut room = usize::from(area.width);
    for (key, does) in KEYS {
        let Some(left) = room.checked_sub(key.len() + 1 + does.len()) else { break };
        room = left.saturating_sub(2);
        spans.extend([Span::styled(key, BOLD), Span::styled(format!(" {does}  "), DIM)]);
    }
    frame.render_widget(Line::from(spans), area);
}
