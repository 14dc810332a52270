//~ - unused `Result` that must be used
#![deny(unused_must_use)]
pub fn doze() {
    corio::sleep(corio::secs(1));
}
