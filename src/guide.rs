#![doc = include_str!("guide/guide.md")]

#[doc = include_str!("guide/turns.md")]
pub mod turns {}

#[doc = include_str!("guide/styles.md")]
pub mod styles {}

#[doc = include_str!("guide/blocking.md")]
pub mod blocking {}

#[doc = include_str!("guide/sources.md")]
pub mod sources {}

#[doc = include_str!("guide/composition.md")]
pub mod composition {}

#[doc = include_str!("guide/timers.md")]
pub mod timers {}

#[doc = include_str!("guide/channels.md")]
pub mod channels {}

#[doc = include_str!("guide/signals.md")]
pub mod signals {}

#[doc = include_str!("guide/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/work.md")]
pub mod work {}

#[doc = include_str!("guide/bytes.md")]
pub mod bytes {}

#[doc = include_str!("guide/embedding.md")]
pub mod embedding {}

#[doc = include_str!("guide/hosts.md")]
pub mod hosts {}

#[doc = include_str!("guide/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/cost.md")]
pub mod cost {}

#[doc = include_str!("guide/from_calloop.md")]
pub mod from_calloop {}

#[doc = include_str!("guide/from_tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("guide/from_libuv.md")]
pub mod from_libuv {}

#[doc = include_str!("guide/from_glib.md")]
pub mod from_glib {}

#[doc = include_str!("guide/speed.md")]
pub mod speed {}
