//! Reads the function and the options. Knows only the little of Rust's grammar that stands around a
//! body: the compiler parsed the item before it came here, so types are just tokens.

use crate::Attribute;
use proc_macro::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};

/// The user's function, good or bad, in its parts.
pub(crate) struct Function {
    /// What makes it unfit for the attribute, if anything does.
    pub(crate) fault: Option<Error>,
    /// Doc comments too.
    pub(crate) attributes: TokenStream,
    /// Empty for a private function.
    pub(crate) visibility: TokenStream,
    /// As written, perhaps raw.
    pub(crate) name: TokenStream,
    /// From `fn` to the body, after `unsafe` if that was there.
    pub(crate) signature: TokenStream,
    /// The whole function as written, made async if it was not. Empty if it cannot stand inside
    /// another one, being a method or without a body.
    pub(crate) inner: TokenStream,
    /// Whether some `impl Trait` is returned.
    pub(crate) returns_impl: bool,
}

impl Function {
    /// Takes a function apart; the error is for an item that is none.
    pub(crate) fn parse(attribute: &Attribute, item: TokenStream) -> Result<Self, Error> {
        let mut tokens = Tokens::new(item);
        let mut attributes = TokenStream::new();
        while let Some(pound) = tokens.next_if(|token| is_punct(token, '#')) {
            attributes.extend([Some(pound), tokens.next()].into_iter().flatten());
        }
        let mut visibility = TokenStream::from_iter(tokens.next_if(|token| is_ident(token, "pub")));
        if !visibility.is_empty() {
            visibility.extend(tokens.next_if(|token| is_group(token, Delimiter::Parenthesis)));
        }

        let mut words = words_before_name(&mut tokens, attribute)?;
        let keyword = words.pop().expect("the loop ended with `fn`");
        let name = tokens.next().expect("a function has a name");
        let generics = tokens.generics();
        let parameters = tokens.next().expect("a function has a list of parameters");
        let mut tail = tokens.0;
        tail.reverse();
        let body = tail.pop().filter(is_block);

        let inside = match &parameters {
            TokenTree::Group(group) => Vec::from_iter(group.stream()),
            _ => Vec::new(),
        };
        let (asyncness, qualifiers): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|word| is_ident(word, "async"));
        let without = |there: bool, at: &TokenTree| if there { vec![] } else { vec![at.clone()] };
        let faults = [
            (qualifiers.iter().take(1).cloned().collect(), "takes no qualifier but `async`"),
            (without(!asyncness.is_empty(), &keyword), "needs an `async fn`"),
            (generics.clone(), "takes no generic parameters"),
            (inside.clone(), "takes no parameters"),
            (without(body.is_some(), &name), "needs an `async fn` with a body"),
        ];
        let fault = faults.into_iter().find(|(at, _)| !at.is_empty()).map(|(at, text)| {
            Error::new(&at, format!("{} {text}: write `async fn {name}()`", attribute.shown))
        });

        let made_async = TokenTree::from(Ident::new("async", keyword.span()));
        let returns_impl = tail.iter().any(|token| is_ident(token, "impl"));
        let signature = TokenStream::from_iter(
            qualifiers
                .into_iter()
                .filter(|word| is_ident(word, "unsafe"))
                .chain([keyword, name.clone()])
                .chain(generics)
                .chain([parameters])
                .chain(tail),
        );
        let inner = match body {
            Some(body) if !inside.iter().any(|token| is_ident(token, "self")) => {
                let asyncness = asyncness.into_iter().next().unwrap_or(made_async);
                TokenStream::from_iter([asyncness.into(), signature.clone(), body.into()])
            }
            _ => TokenStream::new(),
        };
        let name = name.into();
        Ok(Self { fault, attributes, visibility, name, signature, inner, returns_impl })
    }
}

/// Takes `fn` and the words before it, the ABI's name left out.
fn words_before_name(tokens: &mut Tokens, attribute: &Attribute) -> Result<Vec<TokenTree>, Error> {
    let mut words = Vec::new();
    while !words.last().is_some_and(|word| is_ident(word, "fn")) {
        let known = ["async", "const", "unsafe", "safe", "extern", "default", "gen", "fn"];
        match tokens.next() {
            Some(TokenTree::Literal(_)) if !words.is_empty() => {}
            Some(word) if known.iter().any(|known| is_ident(&word, known)) => words.push(word),
            other => {
                words.extend(other);
                let text = "goes on a function: write `async fn main()`";
                return Err(Error::new(&words[..1], format!("{} {text}", attribute.shown)));
            }
        }
    }
    Ok(words)
}

/// What stands in the attribute's parentheses.
pub(crate) struct Options {
    /// The path of the crate that holds `__private`.
    pub(crate) root: TokenStream,
    /// The calls to make on `TestOptions::new()`.
    pub(crate) calls: TokenStream,
}

impl Options {
    pub(crate) fn parse(attribute: &Attribute, options: TokenStream) -> Result<Self, Error> {
        let mut parsed = Self { root: tokens("::loopline"), calls: TokenStream::new() };
        let (mut tokens, mut seen) = (Tokens::new(options), Vec::new());
        while let Some(option) = tokens.next() {
            let name = option.to_string();
            if !attribute.options.contains(&name.as_str()) {
                let Attribute { shown, options_shown, .. } = attribute;
                let text = format!("unknown option `{name}`: {shown} knows {options_shown}");
                return Err(Error::new(&[option], text));
            }
            if seen.contains(&name) {
                let text = format!("option `{name}` is given twice: remove one");
                return Err(Error::new(&[option], text));
            }
            // The option, `=` and the value; whatever is wrong with them is said of the last part.
            let mut part = vec![option];
            while let Some(token) = tokens.next_if(|token| !is_punct(token, ',')) {
                part.push(token);
            }
            tokens.next();
            if let Err(wanted) = parsed.set(&name, &part[1..]) {
                let text = format!("option `{name}` takes {wanted}");
                return Err(Error::new(&part[2.min(part.len() - 1)..], text));
            }
            seen.push(name);
        }
        Ok(parsed)
    }

    /// Takes one option and what follows its name; the error says what should have followed.
    fn set(&mut self, name: &str, rest: &[TokenTree]) -> Result<(), &'static str> {
        let text = rest.iter().map(ToString::to_string).collect::<String>();
        let call = match (name, text.strip_prefix('=')) {
            ("start_paused", None) if text.is_empty() => ".start_paused(true)",
            ("start_paused", Some("true")) => ".start_paused(true)",
            ("start_paused", Some("false")) => ".start_paused(false)",
            ("start_paused", _) => return Err("`true` or `false`"),
            ("shuffle", None) if text.is_empty() => ".shuffle(::core::option::Option::None)",
            ("shuffle", value) => {
                let wanted = "an integer that fits in 64 bits, as in `shuffle = 42`";
                let seed = value.and_then(parse_seed).ok_or(wanted)?;
                &format!(".shuffle(::core::option::Option::Some({seed}u64))")
            }
            (_, Some(path)) if is_path(path, &rest[1..]) => {
                self.root = rest[1..].iter().cloned().collect();
                ""
            }
            _ => return Err("a path, as in `crate = some::path`"),
        };
        self.calls.extend(tokens(call));
        Ok(())
    }
}

/// One message for the user, at the tokens it is about.
pub(crate) struct Error {
    /// The first of them.
    start: Span,
    /// The last.
    end: Span,
    /// What is wrong and what to write.
    text: String,
}

impl Error {
    fn new(at: &[TokenTree], text: String) -> Self {
        let start = at.first().map_or_else(Span::call_site, TokenTree::span);
        Self { start, end: at.last().map_or(start, TokenTree::span), text }
    }

    /// The compiler shows a macro's error from the place of its first token to that of its last.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let text = TokenTree::from(Literal::string(&self.text));
        let text = TokenTree::from(Group::new(Delimiter::Brace, text.into()));
        let at = |span, mut token: TokenTree| {
            token.set_span(span);
            token
        };
        let call = tokens("::core::compile_error!").into_iter();
        call.map(|token| at(self.start, token)).chain([at(self.end, text)]).collect()
    }
}

/// Tokens still to be read, last one first. Groups without delimiters, which `macro_rules` puts
/// around what it inserts, are opened on the way.
struct Tokens(Vec<TokenTree>);

impl Tokens {
    fn new(stream: TokenStream) -> Self {
        let mut tokens = Vec::from_iter(stream);
        tokens.reverse();
        Self(tokens)
    }

    fn next(&mut self) -> Option<TokenTree> {
        loop {
            match self.0.pop()? {
                TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                    self.0.extend(Self::new(group.stream()).0);
                }
                token => return Some(token),
            }
        }
    }

    fn next_if(&mut self, wanted: impl FnOnce(&TokenTree) -> bool) -> Option<TokenTree> {
        let token = self.next()?;
        if wanted(&token) {
            return Some(token);
        }
        self.0.push(token);
        None
    }

    /// All from `<` to its `>`, if there are any. The arrow of an `Fn() -> T` closes nothing.
    fn generics(&mut self) -> Vec<TokenTree> {
        let (mut generics, mut depth) = (Vec::new(), 0);
        let start = |token: &TokenTree| is_punct(token, '<');
        while let Some(token) = self.next_if(|token| depth > 0 || start(token)) {
            let arrow = generics.last().is_some_and(|last| is_punct(last, '-'));
            depth += i32::from(start(&token)) - i32::from(is_punct(&token, '>') && !arrow);
            generics.push(token);
        }
        generics
    }
}

/// Tokens that are ours: an error in them shows at the attribute.
pub(crate) fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the text is made of Rust tokens")
}

/// Decimal or hexadecimal, as `LOOPLINE_SEED` is.
fn parse_seed(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    let digits = digits.strip_suffix("u64").unwrap_or(&digits);
    match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn is_path(text: &str, tokens: &[TokenTree]) -> bool {
    let mut segments = text.strip_prefix("::").unwrap_or(text).split("::");
    segments.all(|segment| !segment.is_empty() && !segment.contains(':'))
        && tokens.iter().all(|token| matches!(token, TokenTree::Ident(_)) || is_punct(token, ':'))
}

fn is_ident(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == text)
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// A block inserted by `macro_rules` is in a group without delimiters.
fn is_block(token: &TokenTree) -> bool {
    let opened = Tokens(vec![token.clone()]).next();
    opened.is_some_and(|token| is_group(&token, Delimiter::Brace))
}
