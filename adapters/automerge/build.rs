//! Lets libraries find the program's own `getrandom`, which answers from the seed (`kit::entropy`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
}
