//! The `squall` command: parse, act, exit code.

fn main() -> std::process::ExitCode {
    // A bug of ours must not look like a verdict on a broker.
    let code = std::panic::catch_unwind(squall::cli::main).unwrap_or(squall::cli::exit::INTERNAL);
    std::process::ExitCode::from(code)
}
