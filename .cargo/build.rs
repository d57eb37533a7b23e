//! How a release is linked: without tables for unwinding, which only programs need that go on after a panic.

fn main() {
    println!("cargo:rerun-if-changed=.cargo/no-unwinding.ld");
    let of = |name| std::env::var(name).unwrap_or_default();
    if of("PROFILE") == "release" {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}/.cargo/no-unwinding.ld", of("CARGO_MANIFEST_DIR"));
    }
}
