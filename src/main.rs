//! The `squall` command: parse, act, exit code.

fn main() -> std::process::ExitCode {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // `squall targets | head`: who reads no further wants no more.
        let said = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if said.starts_with("failed printing to std") && said.contains("Broken pipe") {
            std::process::exit(squall::cli::exit::READER_GONE.into());
        }
        usual(info);
    }));
    // A bug of ours must not look like a verdict on a broker.
    let code = std::panic::catch_unwind(squall::cli::main).unwrap_or(squall::cli::exit::INTERNAL);
    std::process::ExitCode::from(code)
}
