//! What may leave its thread, and what may not, is pinned.

use std::rc::Rc;
use std::task::Waker;

use loopline::callback::{Channel, Ping, PingSource, Sender};
use loopline::{Cancelled, Control, EventLoop, Handle, JoinError, JoinHandle, Remote, RemoteJoin};

/// Compiles only if exactly one of the two impls below fits.
macro_rules! pins_not {
    ($name:ident, $trait:path) => {
        trait $name<Which> {
            fn is_unambiguous() {}
        }
        impl<T: ?Sized> $name<()> for T {}
        impl<T: ?Sized + $trait> $name<u8> for T {}
    };
}

pins_not!(NotSend, Send);
pins_not!(NotSync, Sync);

fn is_send_sync<T: Send + Sync>() {}
fn is_send<T: Send>() {}
fn is_unpin<T: Unpin>() {}

// contract 31
#[test]
fn what_may_leave_its_thread_is_pinned() {
    // Whatever the state is.
    is_send_sync::<Remote<()>>();
    is_send_sync::<Remote<Rc<u8>>>();
    is_send_sync::<RemoteJoin<u8>>();
    is_send::<RemoteJoin<std::cell::Cell<u8>>>();
    is_send_sync::<Sender<u8>>();
    is_send::<Channel<u8>>();
    is_send_sync::<Ping>();
    is_send::<PingSource>();
    is_send::<JoinError>();
    is_send_sync::<Waker>();
    is_unpin::<JoinHandle<std::marker::PhantomPinned>>();
    is_unpin::<RemoteJoin<u8>>();
    is_unpin::<Channel<std::marker::PhantomPinned>>();

    <EventLoop<()> as NotSend<_>>::is_unambiguous();
    <EventLoop<()> as NotSync<_>>::is_unambiguous();
    <Handle<()> as NotSend<_>>::is_unambiguous();
    <Handle<()> as NotSync<_>>::is_unambiguous();
    <JoinHandle<()> as NotSend<_>>::is_unambiguous();
    <JoinHandle<()> as NotSync<_>>::is_unambiguous();
    <Cancelled<()> as NotSend<_>>::is_unambiguous();
    <Control as NotSend<_>>::is_unambiguous();
    <Control as NotSync<_>>::is_unambiguous();
    <loopline::ItemBuilder<()> as NotSend<_>>::is_unambiguous();
    <loopline::time::Hold as NotSend<_>>::is_unambiguous();
    <Sender<Rc<u8>> as NotSend<_>>::is_unambiguous();
    <Channel<Rc<u8>> as NotSend<_>>::is_unambiguous();
}
