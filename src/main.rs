//! The `outcry` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    openoutcry::cli::main()
}
