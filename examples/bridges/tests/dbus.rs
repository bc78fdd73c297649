//! D-Bus by zbus, over our sockets and on our thread alone.
#![cfg(target_os = "linux")]

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bridges::dbus::{builder, drive};
use loopline::callback::Next;
use loopline::net::UnixStream;
use loopline::time::sleep;
use loopline::{JoinHandle, join};
use send_wrapper::SendWrapper;
use support::{closes_clean, event_loop};
use zbus::object_server::SignalEmitter;
use zbus::zvariant;
use zbus::{Guid, interface, proxy};

struct Greeter;

#[interface(name = "loopline.Greeter")]
impl Greeter {
    async fn hello(&self, name: &str) -> String {
        // A timer of ours in the middle of a method.
        SendWrapper::new(sleep(Duration::from_millis(1))).await;
        format!("Hello {name}")
    }

    fn read(&self, file: zvariant::OwnedFd) -> String {
        let mut text = String::new();
        File::from(OwnedFd::from(file)).read_to_string(&mut text).unwrap();
        text
    }

    #[zbus(signal)]
    async fn greeted(emitter: &SignalEmitter<'_>, count: u32) -> zbus::Result<()>;
}

#[proxy(interface = "loopline.Greeter", default_path = "/greeter")]
trait Greeter {
    fn hello(&self, name: &str) -> zbus::Result<String>;
    fn read(&self, file: zvariant::Fd<'_>) -> zbus::Result<String>;
    #[zbus(signal)]
    fn greeted(&self, count: u32) -> zbus::Result<()>;
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn calls_descriptors_and_signals_pass_without_a_thread_of_the_library() {
    let mut event_loop = event_loop::<Vec<u32>>();
    let handle = event_loop.handle();
    let mut seen = Vec::new();
    let before = threads();
    let run = async {
        let (near, far) = UnixStream::pair()?;
        let service =
            builder(near).server(Guid::generate())?.p2p().serve_at("/greeter", Greeter)?;
        let (service, client) = join!(service.build(), builder(far).p2p().build());
        let (service, client) = (service?, client?);
        let driven = [drive(&service), drive(&client)];

        let greeter =
            GreeterProxy::builder(&client).destination("loopline.Greeter")?.build().await?;
        let (one, other) = join!(greeter.hello("you"), greeter.hello("there"));
        assert_eq!((&*one?, &*other?), ("Hello you", "Hello there"));

        let path = std::env::temp_dir().join(format!("loopline-dbus-{}", std::process::id()));
        fs::write(&path, "passed").unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(greeter.read(file.as_fd().into()).await?, "passed");

        // Its signals are a source.
        let signals = Box::pin(greeter.receive_greeted().await?);
        let heard = handle.insert(signals, |signal, _signals, seen| {
            seen.push(signal.args().unwrap().count);
            if seen.len() == 3 { Next::Stop } else { Next::Keep }
        });
        let served = service.object_server().interface::<_, Greeter>("/greeter").await?;
        for count in 1..=3 {
            Greeter::greeted(served.signal_emitter(), count).await?;
        }
        drop(heard.unwrap().await.unwrap());
        assert_eq!(threads(), before);
        Ok::<_, zbus::Error>(driven)
    };
    let driven = event_loop.run_until(&mut seen, run).unwrap().unwrap();
    // Nothing is left of the connections, so their tasks end.
    event_loop.run(&mut seen).unwrap();
    assert!(driven.iter().all(JoinHandle::is_finished));
    assert_eq!(seen, [1, 2, 3]);
    closes_clean(event_loop);
}
