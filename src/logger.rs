//! Debug mode's default output, where the program has installed no logger of its own.

use std::io::Write;
use std::sync::Once;

/// Installs one, once: it writes to standard error what `CORIO_LOG` asks for, warnings if nothing, each line with the name of
/// the task that wrote it. A logger that is there stays.
pub(crate) fn install_unless_there_is_one() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let wanted = env_logger::Env::new().filter_or("CORIO_LOG", "warn");
        let builder = &mut env_logger::Builder::from_env(wanted);
        builder.format(|out, record| {
            let (time, level, target) = (out.timestamp_millis(), record.level(), record.target());
            let task = crate::try_current().map_or_else(|| "-".to_owned(), |task| task.name());
            writeln!(out, "[{time} {level} {target} {task}] {}", record.args())
        });
        // An error says that there is one.
        let _ = builder.try_init();
    });
}
