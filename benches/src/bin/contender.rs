//! One workload, one line of figures: see `contender` without arguments.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = corio_benches::contender(&args) {
        eprintln!("{error}");
        std::process::exit(2);
    }
}
