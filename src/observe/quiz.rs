//! Predicting before looking: a recorded run as a row of questions.

use std::io::{self, BufRead, Write};

use super::Recording;
use super::question::{Question, choose};
use super::stepper::{Stepper, ask};
use super::walk::Walk;

/// Asks a reader to predict a recorded run: who is resumed next, whether a call pauses, what the clock shows then, how a task
/// ends. Each question stands at a step of the record, which is shown as a [`Stepper`] shows it; what comes after that step
/// answers it, and the reason is told with the answer.
///
/// There are at most nine, chosen from the record alone: the same run has the same questions every time. An empty line passes,
/// `q` and the end of the input leave, and an answer that is none is asked for again. At the end stands how many were right,
/// and which steps are worth another look.
///
/// ```
/// use corio::observe::{Quiz, Recording};
/// use corio::{Runner, secs, sleep, spawn};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
///     let task = spawn(|| sleep(secs(1)));
///     task.join()
/// })?;
///
/// let mut seen = Vec::new();
/// let typed = "no\n1\n"; // on a terminal: `io::stdin().lock()`, and `io::stdout()`
/// Quiz::new(&recording).echo(true).run(typed.as_bytes(), &mut seen)?;
/// let seen = String::from_utf8(seen).unwrap();
/// assert!(seen.contains("Does that call pause? > no\n  Wrong, the answer is yes. It waits for task-2 to end."));
/// assert!(seen.contains("in seconds? > 1\n  Right. Timer 1 is the first that is due."));
/// assert!(seen.contains("\n1 of 2.\n"));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Quiz {
    walk: Walk,
    questions: Vec<Question>,
    echo: bool,
}

impl Quiz {
    /// Of a run that is over.
    pub fn new(recording: &Recording) -> Quiz {
        let replay = recording.replay();
        let questions = choose(&replay);
        Quiz { walk: Walk::new(replay), questions, echo: false }
    }

    /// Whether it writes what it reads: for input that is no terminal, which shows what is typed by itself.
    #[must_use = "this returns the quiz"]
    pub fn echo(mut self, echo: bool) -> Quiz {
        self.echo = echo;
        self
    }

    /// What it asks, in the order of the run. None, if the run leaves nothing to predict.
    ///
    /// ```
    /// use corio::observe::{Quiz, Recording};
    /// use corio::Runner;
    ///
    /// let recording = Recording::new();
    /// Runner::new().observer(recording.clone()).run(|| Ok(()))?;
    /// assert!(Quiz::new(&recording).questions().is_empty()); // nobody waits for anything
    /// # std::io::Result::Ok(())
    /// ```
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Asks, reads lines, and says what is right.
    ///
    /// # Errors
    ///
    /// Those of the input and of the output.
    pub fn run(mut self, mut input: impl BufRead, mut out: impl Write) -> io::Result<()> {
        let questions = std::mem::take(&mut self.questions);
        if questions.is_empty() {
            return writeln!(out, "This run leaves nothing to predict.");
        }
        writeln!(out, "Predict what comes next. An empty line passes, and q leaves.")?;
        let (mut asked, mut right, mut again, mut from) = (0, 0, Vec::new(), 0);
        'questions: for (number, question) in (1..).zip(&questions) {
            self.walk.go_to(question.step);
            out.write_all(Stepper::card(&mut self.walk, from).as_bytes())?;
            from = question.step;
            if let Some(at) = question.place() {
                out.write_all(self.walk.lines(at, '?', 2).as_bytes())?;
            }
            let prompt = format!("{number} of {}: {} > ", questions.len(), question.text);
            let is_right = loop {
                match ask(&prompt, &mut input, &mut out, self.echo)?.as_deref() {
                    None | Some("q") => break 'questions,
                    Some("") => break None,
                    Some(typed) => match question.judge(typed) {
                        None => writeln!(out, "  `{typed}` is no answer to this. It is {}.", question.expected())?,
                        judged => break judged,
                    },
                }
            };
            asked += 1;
            match is_right {
                Some(true) => right += 1,
                _ => again.push(format!("`g {}`", question.answered_at)),
            }
            let verdict = match is_right {
                Some(true) => "Right.".to_owned(),
                Some(false) => format!("Wrong, the answer is {}.", question.answer),
                None => format!("The answer is {}.", question.answer),
            };
            writeln!(out, "  {verdict} {}", question.why)?;
            out.write_all(self.shown(question).as_bytes())?;
        }
        let left = questions.len() - asked;
        let left = if left == 0 { String::new() } else { format!(", and {left} not asked") };
        writeln!(out, "\n{right} of {asked}{left}.")?;
        if again.is_empty() {
            return Ok(());
        }
        writeln!(out, "To look at again with --step: {}.", again.join(", "))
    }

    /// The step that answers, as it is told, and before it what led there, if that is as new.
    fn shown(&mut self, question: &Question) -> String {
        let cause = self.walk.replay().records()[question.answered_at as usize - 1].cause;
        let mut told = |step| {
            self.walk.go_to(step);
            self.walk.replay().told() + "\n"
        };
        let answer = told(question.answered_at);
        if cause > question.step { told(cause) + &answer } else { answer }
    }
}
