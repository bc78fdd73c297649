//! The attributes `#[loopline::main]` and `#[loopline::test]`.
//!
//! Sugar for one call: each keeps the async function it stands on, token for token, inside an
//! ordinary function of the same name, and hands the inner one to the crate's `__private::main` or
//! `__private::test`. So every error in the user's code is reported there, as if the attribute were
//! not.
//!
//! Use the attributes through the `loopline` crate. What runs, prints and exits is the runtime's
//! work; this crate moves tokens and depends on nothing. Its examples are plain text, because it
//! cannot name the crate that re-exports it: the compiled ones, and those that must fail to
//! compile, are in `loopline`'s own documentation.
//!
//! On bad input the expansion is one error at the offending token, and a stub, so that no second
//! error follows.

mod parse;

use parse::{Function, Options, tokens};
use proc_macro::{Group, TokenStream, TokenTree};

/// Runs an `async fn` as the program's root future, on an event loop made for it.
///
/// ```text
/// #[loopline::main]
/// async fn main() -> std::io::Result<()> {
///     loopline::time::sleep(std::time::Duration::from_millis(5)).await;
///     Ok(())
/// }
/// ```
///
/// becomes
///
/// ```text
/// fn main() -> std::io::Result<()> {
///     async fn main() -> std::io::Result<()> { /* as written */ }
///     ::loopline::__private::main(main())
/// }
/// ```
///
/// The function may return whatever an ordinary `main` may, and takes no parameters. It need not be
/// called `main`: on another one, each call makes a loop and runs the body to its end. Attributes
/// and visibility go to the outer function; lint attributes there cover the inner one too.
///
/// If the loop itself fails, by an error of the system or because it was stopped, the error is
/// printed and the process exits with status 1. An error that the function returns is treated as in
/// any `main`.
///
/// # Options
///
/// - `crate = some::path`: where `loopline` is found, if it was renamed or another crate re-exports
///   it.
///
/// In an `impl` block, write the type's name instead of `Self`, which the inner function does not
/// know.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(&MAIN, options, item)
}

/// Makes an `async fn` a test that runs on an event loop of its own.
///
/// ```text
/// #[loopline::test(start_paused, shuffle = 42)]
/// async fn a_sleep_takes_no_real_time() {
///     loopline::time::sleep(std::time::Duration::from_secs(3600)).await;
/// }
/// ```
///
/// becomes a function with the standard `#[test]`, which calls `::loopline::__private::test` with
/// the inner function and the options. `#[should_panic]`, `#[ignore]`, `#[cfg(..)]` and every other
/// attribute apply to it as to any test; it may return what any test may. If the loop itself fails,
/// the test does.
///
/// # Options
///
/// Any of these, in any order, between commas:
///
/// - `start_paused`, or `start_paused = true`: the clock stands still, and jumps to the next
///   deadline when nothing can run.
/// - `shuffle`: a seed, printed if the test fails, permutes every order that is not promised;
///   `shuffle = 42` gives the seed, decimal or hexadecimal.
/// - `crate = some::path`: where `loopline` is found, if it was renamed or another crate re-exports
///   it.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(&TEST, options, item)
}

/// What differs between the two attributes.
struct Attribute {
    /// Its name in errors.
    shown: &'static str,
    /// The options it knows.
    options: &'static [&'static str],
    /// The same, as told to the user.
    options_shown: &'static str,
    /// What the outer function wears.
    marker: &'static str,
    /// What the outer function does.
    call: &'static str,
}

static MAIN: Attribute = Attribute {
    shown: "`#[loopline::main]`",
    options: &["crate"],
    options_shown: "`crate = some::path`",
    marker: "",
    // The braces make a value of the name: clippy's `unused_async` then lets the user's function be
    // without `.await`. An `allow` would do it too, but is an error where the lint is forbidden.
    call: "ROOT::__private::main({ NAME }())",
};

static TEST: Attribute = Attribute {
    shown: "`#[loopline::test]`",
    options: &["start_paused", "shuffle", "crate"],
    options_shown: "`start_paused`, `shuffle`, `shuffle = 42` and `crate = some::path`",
    marker: "#[::core::prelude::v1::test]",
    call: "ROOT::__private::test(NAME, ROOT::__private::TestOptions::new() CALLS)",
};

fn expand(attribute: &Attribute, options: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = match Function::parse(attribute, item.clone()) {
        Ok(function) => function,
        Err(error) => return TokenStream::from_iter([error.into_tokens(), item]),
    };
    let options = function.fault.take().map_or_else(|| Options::parse(attribute, options), Err);
    let fill = |template: &str, options: Option<&Options>| {
        fill(tokens(template), &|hole| match hole {
            "ATTRIBUTES" => Some(&function.attributes),
            "VISIBILITY" => Some(&function.visibility),
            "SIGNATURE" => Some(&function.signature),
            "INNER" => Some(&function.inner),
            "NAME" => Some(&function.name),
            "ROOT" => Some(&options?.root),
            "CALLS" => Some(&options?.calls),
            _ => None,
        })
    };
    let Attribute { marker, call, .. } = attribute;
    match options {
        Ok(options) => {
            let outer = format!("{marker} ATTRIBUTES VISIBILITY SIGNATURE {{ INNER {call} }}");
            fill(&outer, Some(&options))
        }
        // The stub. The user's code stays within: what it uses counts as used, its errors show.
        Err(error) => {
            // Its signature stays for its callers, where it cannot be an error in itself.
            let is_main = function.name.to_string() == "main";
            let stub = if is_main || !marker.is_empty() || function.returns_impl {
                &format!("{marker} ATTRIBUTES VISIBILITY fn NAME() {{ INNER }}")
            } else {
                "#[allow(unused_variables)] ATTRIBUTES VISIBILITY SIGNATURE { INNER loop {} }"
            };
            TokenStream::from_iter([error.into_tokens(), fill(stub, None)])
        }
    }
}

/// Puts the user's tokens into a template.
fn fill<'a>(template: TokenStream, hole: &impl Fn(&str) -> Option<&'a TokenStream>) -> TokenStream {
    let one = |token| match token {
        TokenTree::Group(group) => {
            TokenTree::from(Group::new(group.delimiter(), fill(group.stream(), hole))).into()
        }
        token => hole(&token.to_string()).cloned().unwrap_or_else(|| token.into()),
    };
    template.into_iter().map(one).collect()
}
