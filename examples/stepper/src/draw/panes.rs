//! The panes: each shows one side of the same step.

use corio::observe::event::Event;
use corio::observe::{Exchange, Phase, Walk, place};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{BOLD, DIM, cut, pane, tinted};

/// The program, around the line where the task stands.
pub(super) fn source(walk: &mut Walk, frame: &mut Frame<'_>, area: Rect) {
    let [_, name] = walk.parties();
    let Some((at, sign)) = walk.focus_stands() else {
        pane("source", frame, area);
        return;
    };
    let inside = pane(&format!("{name} {sign} {}", place(at)), frame, area);
    let lines = walk.lines(at, sign, u32::from(inside.height.saturating_sub(1) / 2));
    let marked = format!("  {sign} ");
    let line = |line: &str| {
        let style = if line.starts_with(&marked) { tinted(sign).patch(BOLD) } else { Style::new() };
        Line::styled(cut(line.get(2..).unwrap_or_default(), inside.width.into()), style)
    };
    frame.render_widget(Paragraph::new(lines.lines().map(line).collect::<Vec<_>>()), inside);
}

/// What the loop and a task hand each other: the loop on the left, the task on the right; or a task and a coroutine. What comes
/// next is drawn as well.
pub(super) fn conversation(walk: &Walk, frame: &mut Frame<'_>, area: Rect) {
    let [left, right] = walk.parties();
    let inside = pane(&format!("conversation with {right}"), frame, area);
    let (width, height) = (usize::from(inside.width), usize::from(inside.height));
    let mut said = walk.conversation(height);
    let here = said.len();
    said.extend(walk.next_exchange());
    let mut lines = Vec::new();
    for (n, exchange) in said.iter().enumerate() {
        let before = n.checked_sub(1).map(|before| &said[before]);
        let style = match exchange.step {
            _ if n == here => DIM,
            step if step == walk.replay().step() => BOLD,
            _ => Style::new(),
        };
        let is_away = |before: &&Exchange| !before.to_task && exchange.to_task && before.step + 1 < exchange.step;
        if let Some(away) = before.filter(is_away) {
            lines.push(Line::styled(gap(walk, away.step, exchange.step, width), DIM));
        }
        let pause = if exchange.to_task { before.and_then(|before| before.at) } else { exchange.at };
        let line = pause.map_or("top".to_owned(), |at| at.line().to_string());
        lines.push(Line::styled(arrow(exchange, &line, n == here, width), style));
    }
    let excess = (lines.len() + 1).saturating_sub(height);
    lines.drain(..excess.min(lines.len()));
    let left = format!("     {}", cut(&left, width / 3));
    let title = format!("{left}{:>1$}", cut(&right, width / 2), width.saturating_sub(left.chars().count()));
    lines.insert(0, Line::styled(title, BOLD));
    frame.render_widget(Paragraph::new(lines), inside);
}

/// What happened while a task was away.
fn gap(walk: &Walk, from: u64, to: u64, width: usize) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let events = count((to - from - 1) as usize, "event");
    match walk.resumed_between(from, to).len() {
        0 => format!("     ··· {events} ···"),
        others => {
            let all = format!("     ··· {events}, {} ···", count(others, "other task"));
            shortened(&all, &format!("     ··· {events}, {}", count(others, "other")), width)
        }
    }
}

/// The number, the head, the spaces around the words, and as much of a shaft as shows what it is.
const BESIDE: usize = 5 + 1 + 2 + 2;

/// One thing that is handed over. An arrow of dashes has not been yet.
fn arrow(said: &Exchange, line: &str, is_to_come: bool, width: usize) -> String {
    let shaft = if is_to_come { '╌' } else { '─' };
    let place = match (said.to_task, said.at) {
        (true, _) => format!(" ► {line:<3}"),
        (false, Some(_)) => format!(" ■ {line:<3}"),
        // Nothing stands there: the words may, if they have to.
        (false, None) if said.brief.chars().count() + BESIDE + 6 > width => String::new(),
        (false, None) => " ".repeat(6),
    };
    let room = width.saturating_sub(place.chars().count());
    let what = format!(" {} ", shortened(&said.what, &said.brief, room.saturating_sub(BESIDE)));
    let room = room.saturating_sub(6); // the number, and the head of the arrow
    let rest = room.saturating_sub(what.chars().count());
    let shaft = |n: usize| shaft.to_string().repeat(n);
    let step = said.step;
    match said.to_task {
        true => format!("{step:>4} {}{what}{}►{place}", shaft(2), shaft(rest.saturating_sub(2))),
        false => format!("{step:>4} ◄{}{what}{}{place}", shaft(rest.saturating_sub(2)), shaft(2)),
    }
}

/// Below this width a pane has no room for a word and a wait side by side.
const NARROW: usize = 50;

/// The words if they fit, or else the few.
fn shortened(words: &str, few: &str, width: usize) -> String {
    if words.chars().count() <= width { words.to_owned() } else { cut(few, width) }
}

/// A line per task: what it does in a sign and a word, the line where it paused, its resumes, and what it waits for. In a narrow
/// pane what it waits for stands for the word: a task that waits is parked.
pub(super) fn tasks(walk: &Walk, frame: &mut Frame<'_>, area: Rect) {
    let (state, names, focus) = (walk.replay().state(), walk.replay().names(), walk.focus());
    let file = walk.focus_stands().map(|(at, _)| at.file());
    let rows = state.tasks.iter().map(|(id, task)| {
        // The number alone would mislead if it is not of the file that is shown.
        let line =
            task.paused_at.filter(|_| !task.is_done()).map_or(String::new(), |at| match Some(at.file()) == file {
                true => at.line().to_string(),
                false => "…".to_owned(),
            });
        let (name, word) = (cut(&names.task(*id), 12), task.stage.word().to_owned());
        let waits = walk.waits(*id).map_or(String::new(), |(wanted, _)| wanted);
        (*id, task.stage.sign(), [id.to_string(), name, word, line, task.resumes.to_string(), waits])
    });
    let mut rows: Vec<_> = rows.collect();
    let all = rows.len();
    let inside = pane(&format!("tasks: {all}"), frame, area);
    let (width, room) = (usize::from(inside.width), usize::from(inside.height).saturating_sub(1));
    if all > room {
        rows.retain(|(id, ..)| *id == focus || !state.tasks[id].is_done());
    }
    // Of too many, those around the one that is looked at.
    let place = rows.iter().position(|(id, ..)| *id == focus).unwrap_or(0);
    let first = place.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    let titles = ["", "task", "state", "line", "n", "waits for"].map(str::to_owned);
    let mut rows: Vec<_> = std::iter::once((0, ' ', titles)).chain(rows.into_iter().skip(first).take(room)).collect();
    let widest = |rows: &[(u64, char, [String; 6])], column: usize| {
        rows.iter().map(|(.., cells)| cells[column].chars().count()).max().unwrap_or(0)
    };
    let [a, b, _, d, e] = std::array::from_fn(|column| widest(&rows, column));
    // The columns before the sign, and those that count.
    let (who, counts) = (1 + a + 1 + b + 1, d + 1 + e);
    for (id, _, [_, _, word, .., waits]) in rows.iter_mut().filter(|_| width < NARROW) {
        let (waits, room) = (std::mem::take(waits), width.saturating_sub(who + 2));
        if let Some(brief) = walk.waits_briefly(*id) {
            let has_room = waits.chars().count() + 1 + counts <= room;
            *word = if has_room { waits } else { cut(&brief, room) };
        }
    }
    let c = widest(&rows, 2);
    let lines = rows.iter().map(|(id, sign, [number, name, word, line, resumes, waits])| {
        let is_focus = *id == focus;
        let who = format!("{}{number:>a$} {name:<b$} ", if is_focus { '▸' } else { ' ' });
        let does = format!("{sign} {word:<c$} ");
        let room = width.saturating_sub(who.chars().count() + does.chars().count());
        let counts = if counts <= room { format!("{line:>d$} {resumes:>e$} ") } else { String::new() };
        let room = room.saturating_sub(counts.chars().count());
        let waits = match walk.waits_briefly(*id) {
            Some(brief) => shortened(waits, &brief, room),
            None => cut(waits, room),
        };
        let style = match is_focus {
            true => BOLD,
            false if *id == 0 || state.tasks[id].is_done() => DIM,
            false => Style::new(),
        };
        Line::from(vec![Span::raw(who), Span::styled(does, tinted(*sign)), Span::raw(counts), Span::raw(waits)])
            .style(style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inside);
}

/// Where in its turn the loop is, and what it has.
pub(super) fn turn(walk: &Walk, frame: &mut Frame<'_>, area: Rect) {
    let (replay, state) = (walk.replay(), walk.replay().state());
    let inside = pane("loop", frame, area);
    let phases = match inside.width {
        ..30 => [(Phase::RunReady, "run"), (Phase::Poll, "poll"), (Phase::FireTimers, "timers")],
        _ => [(Phase::RunReady, "run ready"), (Phase::Poll, "poll"), (Phase::FireTimers, "fire timers")],
    };
    let phases = phases.map(|(phase, name)| match walk.phase() == phase {
        true => Span::styled(format!("[{name}]"), BOLD),
        false => Span::styled(format!(" {name} "), DIM),
    });
    let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let ready: Vec<String> = state.ready.iter().map(|task| replay.names().task(*task)).collect();
    let sources: Vec<String> = state.sources.iter().map(u64::to_string).collect();
    let last = walk.last_poll().map_or(String::new(), |step| {
        let told = replay.told_at(step);
        // Without the clock, and without who it is.
        let words: Vec<&str> = told.split_whitespace().skip(3).collect();
        format!("{} (step {step})", words.join(" "))
    });
    let line = |title: &str, text: String| Line::from(vec![Span::styled(format!("{title:<8}"), DIM), Span::raw(text)]);
    let lines = vec![
        Line::from(phases.to_vec()),
        line("ready", or(ready.join(", "), "nobody")),
        line("timers", or(walk.timers().join(", "), "none")),
        line("sources", or(sources.join(", "), "none")),
        line("polled", or(last, "not yet")),
    ];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inside);
}

/// What the program has printed so far: as much of the end as there is room for.
pub(super) fn output(walk: &Walk, frame: &mut Frame<'_>, area: Rect) {
    let inside = pane("output", frame, area);
    let (replay, step) = (walk.replay(), walk.replay().step());
    let printed =
        replay.records().iter().take_while(|record| record.seq <= step).filter_map(|record| match record.event {
            Event::Out { text, .. } => Some(replay.names().text(text)),
            _ => None,
        });
    let lines: Vec<&str> = printed.flat_map(|text| text.split('\n')).collect();
    let first = lines.len().saturating_sub(inside.height.into());
    let line = |line: &&str| Line::raw(cut(line, inside.width.into()));
    frame.render_widget(Paragraph::new(lines[first..].iter().map(line).collect::<Vec<_>>()), inside);
}
